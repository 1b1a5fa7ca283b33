//! A data directory that is damaged before the start, or removed while the process runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::callers::{Wire, post};
use tests::ledger::Acceptance;
use tests::scenario::single_process::stored;
use tests::{Callee, Process, SingleProcess, eventually};

use super::SOON;

/// Starts the process on its directory as it is; returns the sentence with which it ends.
async fn refusal(gateway: &SingleProcess) -> String {
    let mut process = Process::ringback(&["serve"], gateway.environment());
    let ended = process.wait_exit(SOON).await;
    let output = process.log();
    assert!(!ended.success(), "{output}");
    let mut sentences = output.lines().filter(|line| !line.starts_with('{'));
    let sentence = sentences.next().unwrap_or_default().to_owned();
    assert_eq!(sentences.next(), None, "{output}");
    sentence
}

/// POSTs so many callbacks that stay in the queue, because nobody listens at their target.
async fn accept(gateway: &SingleProcess, count: usize) -> usize {
    let mut wire = Wire::to(gateway.address);
    let mut accepted = 0;
    for _ in 0..count {
        let answer = post(&mut wire, 0, "http://127.0.0.1:9/").await;
        accepted += usize::from(matches!(answer.acceptance, Acceptance::Accepted(_)));
    }
    accepted
}

fn cut_to_half(file: &Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_data_directory_stops_the_start_with_the_file_and_the_next_step() {
    let retries = ("RINGBACK__RETRY__SCHEDULE", "1h,1h");
    let mut gateway = SingleProcess::start(&[retries]).await;
    let directory = gateway.directory();
    assert_eq!(accept(&gateway, 60).await, 60);
    let ended = gateway.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    for name in ["queue.db", "journal.db"] {
        let file = directory.join(name);
        let whole = fs::read(&file).unwrap();
        cut_to_half(&file);
        let sentence = refusal(&gateway).await;
        assert!(
            sentence.contains(&format!("{name} is cut off")),
            "{sentence}"
        );
        assert!(sentence.contains("restore a backup"), "{sentence}");
        fs::write(&file, whole).unwrap();
    }
    gateway.spawn();
    gateway.ready().await;
    assert_eq!(accept(&gateway, 40).await, 40);
    gateway.kill9();
    let log = directory.join("queue.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xA5);
    fs::write(&log, bytes).unwrap();
    let sentence = refusal(&gateway).await;
    assert!(sentence.contains("queue.db-wal"), "{sentence}");
    // What the sentence offers.
    let command = sentence.split('`').nth(1).unwrap();
    assert!(command.starts_with("truncate -s "), "{sentence}");
    let cut = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(cut.success(), "{command}");
    gateway.spawn();
    gateway.ready().await;
    let left = stored(&directory).len();
    assert!((60..100).contains(&left), "{left} of 100 messages are left");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_data_directory_is_removed_nothing_is_accepted_and_the_process_is_not_ready() {
    let callee = Callee::start_with_full_log().await;
    let mut gateway = SingleProcess::start(&[]).await;
    let directory = gateway.directory();
    let mut wire = Wire::to(gateway.address);
    let target = callee.url("/flaky/1");
    let before = post(&mut wire, 0, &target).await;
    let Acceptance::Accepted(id) = before.acceptance else {
        panic!("{before:?}")
    };
    fs::remove_dir_all(&directory).unwrap();
    for _ in 0..20 {
        let answer = post(&mut wire, 0, &target).await;
        let accepted = matches!(answer.acceptance, Acceptance::Accepted(_));
        assert!(!accepted && answer.status == Some(503), "{answer:?}");
    }
    eventually("the process not to be ready", SOON, async || {
        let (status, body) = gateway.get_details("/readyz").await?;
        let named = body.contains("removed or replaced") && body.contains("queue.db");
        (status == 503 && named).then_some(()).ok_or(body)
    })
    .await;
    assert_eq!(gateway.get("/readyz").await.unwrap().0, 503);
    assert_eq!(gateway.get("/healthz").await.unwrap().0, 200);
    // What was accepted is delivered: its retry as well.
    eventually("the delivery of what was accepted", SOON, async || {
        let received = callee.requests.for_id(&id);
        let delivered = received.iter().any(|one| one.status == Some(200));
        delivered
            .then_some(())
            .ok_or_else(|| format!("{received:?}"))
    })
    .await;
    assert!(!directory.exists(), "the directory was made again");
    gateway.stop().await;
}
