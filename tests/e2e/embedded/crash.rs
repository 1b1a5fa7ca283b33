//! Is every promise kept when the process is killed again and again, at any moment?

use std::cell::RefCell;

use tests::callers::Answer;
use tests::ledger::Audit;
use tests::{Callers, Site};

use super::{callee, lost, worked_off};

const KILLS: usize = 24;
const CALLERS: usize = 16;
/// `dispatcher.first_slots` and `retry_slots`, as they are by default.
const SLOTS: usize = 256 + 64;
/// One callback in eight needs a second attempt, and one in eight is given up at once.
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
    let callee = callee().await;
    let mut site = Site::start(&[]).await;
    let directory = site.directory();
    let targets: Vec<String> = PATHS.iter().map(|path| callee.url(path)).collect();
    let callers = Callers::start(site.address, &targets, CALLERS, u64::MAX);
    for round in 0..KILLS {
        // Where the process is in its work by then is chance.
        callers.accepted_more(fastrand::usize(1..=150)).await;
        site.kill9();
        let answers = so_far(&callers);
        let missing = lost(&answers, &callee, &directory);
        assert!(missing.is_empty(), "after kill {round}: {missing:?}");
        site.begin();
        if round % 6 == 5 {
            // Once more while it recovers, or just after.
            site.kill9();
            site.begin();
        }
        site.ready().await;
    }
    callers.accepted_more(100).await;
    let answers = callers.stop().await;
    worked_off(&site, &directory).await;
    let ended = site.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    let audit = site.ledger(&directory, &answers, &callee).audit().sound();
    println!("{} kills: {audit}", KILLS + KILLS / 6);
    balanced(&audit);
    // What was being attempted is attempted again, and no more than that.
    let kills = KILLS + KILLS / 6;
    assert!(audit.repeats <= kills * SLOTS, "{audit}");
    assert!(audit.accepted > KILLS && audit.dead > 0, "{audit}");
}

/// Each callback that was accepted is in exactly one place.
fn balanced(audit: &Audit) {
    let there = audit.delivered + audit.dead + audit.queued;
    assert_eq!(audit.accepted + audit.recovered, there, "{audit}");
    assert_eq!(audit.queued, 0, "{audit}");
}

/// The answers up to now; the callers go on.
fn so_far(callers: &Callers) -> Vec<Answer> {
    let answers = RefCell::new(Vec::new());
    callers.count(|answer| {
        answers.borrow_mut().push(answer.clone());
        true
    });
    answers.into_inner()
}
