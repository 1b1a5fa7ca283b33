//! Every promise is kept when the process is killed repeatedly at random times.

use std::cell::RefCell;

use tests::callers::CallerAnswer;
use tests::ledger::Audit;
use tests::{Callee, Callers, SingleProcess};

use super::{drained, lost};

const KILLS: usize = 24;
const CALLERS: usize = 16;
/// `dispatcher.first_concurrency` and `retry_concurrency` by default.
const CONCURRENCY: usize = 256 + 64;
/// One callback in eight needs a second attempt, and one in eight is dead-lettered at once.
const PATHS: [&str; 8] = [
    "/ok",
    "/ok",
    "/flaky/1",
    "/ok",
    "/ok",
    "/status/400",
    "/ok",
    "/slow/20",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_however_often_the_process_is_killed() {
    let callee = Callee::start_with_full_log().await;
    let mut gateway = SingleProcess::start(&[]).await;
    let directory = gateway.directory();
    let targets: Vec<String> = PATHS.iter().map(|path| callee.url(path)).collect();
    let callers = Callers::start(gateway.address, &targets, CALLERS, u64::MAX);
    for round in 0..KILLS {
        // How far the process has come by then is random.
        callers.accepted_more(fastrand::usize(1..=150)).await;
        gateway.kill9();
        let answers = so_far(&callers);
        let missing = lost(&answers, &callee, &directory);
        assert!(missing.is_empty(), "after kill {round}: {missing:?}");
        gateway.spawn();
        if round % 6 == 5 {
            // Once more during its recovery, or shortly after.
            gateway.kill9();
            gateway.spawn();
        }
        gateway.ready().await;
    }
    callers.accepted_more(100).await;
    let answers = callers.stop().await;
    drained(&gateway, &directory).await;
    let ended = gateway.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    let audit = gateway
        .ledger(&directory, &answers, &callee)
        .audit()
        .sound();
    println!("{} kills: {audit}", KILLS + KILLS / 6);
    balanced(&audit);
    // Only attempts that were in flight are repeated.
    let kills = KILLS + KILLS / 6;
    assert!(audit.repeats <= kills * CONCURRENCY, "{audit}");
    assert!(audit.accepted > KILLS && audit.dead > 0, "{audit}");
}

/// Each accepted callback is in exactly one place.
fn balanced(audit: &Audit) {
    let there = audit.delivered + audit.dead + audit.queued;
    assert_eq!(audit.accepted + audit.recovered, there, "{audit}");
    assert_eq!(audit.queued, 0, "{audit}");
}

/// The answers so far; the callers go on.
fn so_far(callers: &Callers) -> Vec<CallerAnswer> {
    let answers = RefCell::new(Vec::new());
    callers.count(|answer| {
        answers.borrow_mut().push(answer.clone());
        true
    });
    answers.into_inner()
}
