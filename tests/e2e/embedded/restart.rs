//! What does a stop cost? No callback, no second delivery, and no wait that becomes shorter.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tests::callers::{Wire, message, next_token, told};
use tests::ledger::Told;
use tests::{Callee, Callers, Site, eventually};

use super::{SOON, callee, worked_off};

const CALLERS: usize = 16;
const STOPS: usize = 3;
/// Longer than it takes to let all in and to start again: the waits are still under way then.
const WAIT: Duration = Duration::from_secs(15);
const EACH: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_makes_no_delivery_twice() {
    let callee = callee().await;
    let mut site = Site::start(&[]).await;
    let paths = ["/ok", "/slow/300", "/ok", "/flaky/1", "/status/400"];
    let targets: Vec<String> = paths.iter().map(|path| callee.url(path)).collect();
    let callers = Callers::start(site.address, &targets, CALLERS, u64::MAX);
    for _ in 0..STOPS {
        callers.accepted_more(200).await;
        let ended = site.stop().await;
        assert_eq!(ended.code(), Some(0), "{ended}");
        site.begin();
        site.ready().await;
    }
    callers.accepted_more(100).await;
    let answers = callers.stop().await;
    worked_off(&site, &site.directory()).await;
    let ended = site.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    let books = site.ledger(&site.directory(), &answers, &callee);
    let audit = books.audit().sound();
    println!("{STOPS} stops: {audit}");
    // A connection may be closed just when its caller writes; what was on it was not accepted.
    assert_eq!((audit.recovered, audit.repeats), (0, 0), "{audit}");
    assert_eq!(audit.delivered + audit.dead, audit.accepted, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_survive_a_restart_and_are_never_shorter() {
    tokio::join!(restarted(false), restarted(true));
}

/// A site that is stopped, or killed, and started again while all its callbacks wait.
async fn restarted(killed: bool) {
    let schedule = format!("{}s,1s", WAIT.as_secs());
    let callee = callee().await;
    let mut site = Site::start(&[("RINGBACK__RETRY__SCHEDULE", &schedule)]).await;
    let mut wire = Wire::to(site.address);
    let (mut delayed, mut retried) = (Vec::new(), Vec::new());
    let options = format!(r#"{{"delay_seconds":{}}}"#, WAIT.as_secs());
    for _ in 0..EACH {
        let asked = now_ms();
        delayed.push((
            accepted(&mut wire, &callee.url("/ok"), &options).await,
            asked,
        ));
        retried.push(accepted(&mut wire, &callee.url("/flaky/1"), "{}").await);
    }
    eventually("every first attempt", SOON, async || {
        let failed = retried.iter().all(|id| !callee.book.for_id(id).is_empty());
        // Their follow-ups are stored as well: all that is left waits.
        let stored = tests::site::stored(&site.directory());
        let waits = stored.iter().filter(|(lane, _)| lane == "retry").count();
        (failed && waits == 2 * EACH).then_some(())
    })
    .await;
    if killed {
        site.kill9();
    } else {
        let ended = site.stop().await;
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
    site.begin();
    site.ready().await;
    worked_off(&site, &site.directory()).await;
    let wait = u64::try_from(WAIT.as_millis()).unwrap();
    for (id, asked) in &delayed {
        let came = times(&callee, id);
        assert_eq!(came.len(), 1, "killed {killed}: {came:?}");
        let waited = came[0] - asked;
        assert!(waited >= wait, "killed {killed}: {waited} ms");
    }
    for id in &retried {
        let came = times(&callee, id);
        assert_eq!(came.len(), 2, "killed {killed}: {came:?}");
        let waited = came[1] - came[0];
        assert!(waited >= wait, "killed {killed}: {waited} ms");
    }
    let ended = site.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
}

/// POSTs a callback with options; its id.
async fn accepted(wire: &mut Wire, target: &str, options: &str) -> String {
    let message = message(next_token());
    let body = format!(
        r#"{{"callback_url":"{target}","app_id":"waits","message_type":"wait","request_message":{message},"options":{options}}}"#
    );
    let (status, answer) = wire.post(body.as_bytes()).await.unwrap();
    let told = told(status, &answer);
    let id = match &told {
        Told::Accepted(id) => Some(id.clone()),
        Told::Refused | Told::Unknown(_) => None,
    };
    id.ok_or(told).unwrap()
}

/// When the requests of this id came, Unix ms.
fn times(callee: &Callee, id: &str) -> Vec<u64> {
    let received = callee.book.for_id(id);
    received.iter().map(|one| one.time_ms).collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
