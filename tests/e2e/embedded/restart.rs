//! A stop loses no callback, repeats no delivery, and shortens no wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tests::callers::{Wire, acceptance, message, next_token};
use tests::ledger::Acceptance;
use tests::{Callee, Callers, SingleProcess, eventually};

use super::{SOON, drained};

const CALLERS: usize = 16;
const STOPS: usize = 3;
/// Longer than accepting all of them and starting again takes, so that none is due before.
const WAIT: Duration = Duration::from_secs(15);
const EACH: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_makes_no_delivery_twice() {
    let callee = Callee::start_with_full_log().await;
    let mut gateway = SingleProcess::start(&[]).await;
    let paths = ["/ok", "/slow/300", "/ok", "/flaky/1", "/status/400"];
    let targets: Vec<String> = paths.iter().map(|path| callee.url(path)).collect();
    let callers = Callers::start(gateway.address, &targets, CALLERS, u64::MAX);
    for _ in 0..STOPS {
        callers.accepted_more(200).await;
        let ended = gateway.stop().await;
        assert_eq!(ended.code(), Some(0), "{ended}");
        gateway.spawn();
        gateway.ready().await;
    }
    callers.accepted_more(100).await;
    let answers = callers.stop().await;
    drained(&gateway, &gateway.directory()).await;
    let ended = gateway.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    let books = gateway.ledger(&gateway.directory(), &answers, &callee);
    let audit = books.audit().sound();
    println!("{STOPS} stops: {audit}");
    // A connection may be closed just when its caller writes; that request was not accepted.
    assert_eq!((audit.recovered, audit.repeats), (0, 0), "{audit}");
    assert_eq!(audit.delivered + audit.dead, audit.accepted, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_survive_a_restart_and_are_never_shorter() {
    tokio::join!(restarted(false), restarted(true));
}

/// Stops or kills a gateway while all its callbacks wait, and starts it again.
async fn restarted(killed: bool) {
    let schedule = format!("{}s,1s", WAIT.as_secs());
    let callee = Callee::start_with_full_log().await;
    let mut gateway = SingleProcess::start(&[("RINGBACK__RETRY__SCHEDULE", &schedule)]).await;
    let mut wire = Wire::to(gateway.address);
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
        let failed = retried
            .iter()
            .all(|id| !callee.requests.for_id(id).is_empty());
        // Their follow-ups are stored as well: everything that is left waits.
        let stored = tests::scenario::single_process::stored(&gateway.directory());
        let waits = stored.iter().filter(|(queue, _)| queue == "retry").count();
        (failed && waits == 2 * EACH).then_some(())
    })
    .await;
    if killed {
        gateway.kill9();
    } else {
        let ended = gateway.stop().await;
        assert_eq!(ended.code(), Some(0), "{ended}");
    }
    gateway.spawn();
    gateway.ready().await;
    drained(&gateway, &gateway.directory()).await;
    let wait = u64::try_from(WAIT.as_millis()).unwrap();
    for (id, asked) in &delayed {
        let arrivals = times(&callee, id);
        assert_eq!(arrivals.len(), 1, "killed {killed}: {arrivals:?}");
        let waited = arrivals[0] - asked;
        assert!(waited >= wait, "killed {killed}: {waited} ms");
    }
    for id in &retried {
        let arrivals = times(&callee, id);
        assert_eq!(arrivals.len(), 2, "killed {killed}: {arrivals:?}");
        let waited = arrivals[1] - arrivals[0];
        assert!(waited >= wait, "killed {killed}: {waited} ms");
    }
    let ended = gateway.stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
}

/// POSTs a callback with options; returns its id.
async fn accepted(wire: &mut Wire, target: &str, options: &str) -> String {
    let message = message(next_token());
    let body = format!(
        r#"{{"callback_url":"{target}","app_id":"waits","message_type":"wait","request_message":{message},"options":{options}}}"#
    );
    let (status, answer) = wire.post(body.as_bytes()).await.unwrap();
    let acceptance = acceptance(status, &answer);
    let id = match &acceptance {
        Acceptance::Accepted(id) => Some(id.clone()),
        Acceptance::Refused | Acceptance::Unknown(_) => None,
    };
    id.ok_or(acceptance).unwrap()
}

/// When the requests with this id arrived, Unix ms.
fn times(callee: &Callee, id: &str) -> Vec<u64> {
    let received = callee.requests.for_id(id);
    received.iter().map(|one| one.time_ms).collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
