//! Tests of running processes and of waiting.

use std::path::Path;
use std::time::Duration;

use tests::cleanup::TempDirectory;
use tests::{Process, eventually};

use super::{SOON, is_running};

fn shell(script: &str) -> Process {
    Process::start(
        Path::new("/bin/sh"),
        &["-c", script],
        [("GREETING", "hello")],
    )
}

#[tokio::test]
async fn a_process_is_observed_stopped_and_killed() {
    let mut process = shell("echo \"$GREETING\"; echo oops >&2; exit 3");
    assert_eq!(process.wait_exit(SOON).await.code(), Some(3));
    assert_eq!(process.log(), "hello\noops\n");

    let mut process = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
    eventually("the trap", SOON, async || {
        process.log().contains("up").then_some(())
    })
    .await;
    assert_eq!(process.ended(), None);
    process.sigterm();
    assert_eq!(process.wait_exit(SOON).await.code(), Some(7));

    let mut process = shell("while :; do :; done");
    let spent = Duration::from_millis(50);
    eventually("some work", SOON, async || {
        (process.cpu_time() >= spent).then_some(())
    })
    .await;
    assert!(process.rss() > 100_000, "{}", process.rss());
    let pid = process.pid();
    process.kill9();
    assert!(!is_running(pid));
    assert_eq!(process.wait_exit(SOON).await.code(), None);
}

#[tokio::test]
async fn a_dropped_process_is_gone_with_its_children_and_files() {
    let process = shell("sleep 300 & echo $!; wait");
    let child = eventually("the child", SOON, async || {
        process.log().trim().parse().ok()
    })
    .await;
    let (pid, log) = (process.pid(), process.log_path().to_owned());
    assert!(is_running(pid) && is_running(child) && log.exists());
    drop(process);
    assert!(!is_running(pid) && !log.exists());
    eventually("the child's end", SOON, async || {
        (!is_running(child)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_empty_directory_is_removed() {
    let temp = TempDirectory::new("empty");
    let directory = temp.path().to_owned();
    assert!(directory.exists());
    drop(temp);
    assert!(!directory.exists());
}

#[tokio::test]
async fn eventually_waits_for_a_late_value() {
    let mut looks = 0;
    let found = eventually("the third look", SOON, async || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(found.await, 3);
}

#[tokio::test]
#[should_panic(expected = "waited 3s for a miracle; last seen: look 2")]
async fn eventually_reports_what_it_saw_last() {
    let mut looks = 0;
    eventually("a miracle", Duration::from_secs(3), async || {
        looks += 1;
        if looks == 3 {
            // A check that hangs must not hang the test.
            std::future::pending::<()>().await;
        }
        Err::<(), _>(format!("look {looks}"))
    })
    .await;
}
