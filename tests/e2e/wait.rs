//! Does a caller that waits hear how the first attempt ended, and leave nothing behind?

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tests::gateway::Answered;
use tests::{World, eventually, together};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::shared::journaled;

const SOON: Duration = Duration::from_secs(30);
/// Who is answered later than this has not heard of the end, but waited in vain.
const HEARD: Duration = Duration::from_secs(15);

async fn post(world: &World, path: &str, prefer: &str) -> (Answered, Duration) {
    let begun = Instant::now();
    let headers = [("prefer", prefer)];
    let body = world.callback(path).to_string();
    let answered = world.gateway.post_raw(body, &headers).await;
    (answered, begun.elapsed())
}

/// POSTs with a wait of 20 s. Between two processes a reply is sent once, to whoever listens then,
/// and may be lost with its connection on a busy machine: one of two is heard.
async fn heard(world: &World, path: &str) -> (Answered, Duration) {
    let told = post(world, path, "wait=20").await;
    if told.1 < HEARD || world.gateway.dispatchers.is_empty() {
        return told;
    }
    post(world, path, "wait=20").await
}

fn applied(answered: &Answered) -> &str {
    let applied = answered.headers.get("preference-applied");
    applied.map_or("", |it| it.to_str().unwrap())
}

#[test]
fn a_waiting_caller_hears_that_the_target_was_reached() {
    together(async {
        let world = journaled().await;
        let (answered, took) = heard(&world, "/slow/700").await;
        let id = answered.accepted();
        assert_eq!(applied(&answered), "wait=20");
        assert!(took >= Duration::from_millis(700), "{took:?}");
        assert!(took < HEARD, "{took:?}");
        let received = world.callee.book.for_id(&id);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].status, Some(200));
    });
}

#[test]
fn a_waiting_caller_hears_that_it_will_be_tried_again() {
    together(async {
        let world = journaled().await;
        let (answered, took) = heard(&world, "/status/503").await;
        assert_eq!((answered.status, answered.code().as_str()), (202, "202"));
        assert_eq!(applied(&answered), "wait=20");
        assert!(took < HEARD, "{took:?}");
        let id = answered.request_id().unwrap();
        assert!(!world.callee.book.for_id(&id).is_empty());
    });
}

#[test]
fn a_waiting_caller_hears_that_it_was_given_up() {
    together(async {
        let world = journaled().await;
        let (answered, took) = heard(&world, "/status/400").await;
        assert_eq!((answered.status, answered.code().as_str()), (200, "500500"));
        assert_eq!(applied(&answered), "wait=20");
        assert!(took < HEARD, "{took:?}");
        assert!(answered.request_id().is_some());
    });
}

#[test]
fn a_wait_that_runs_out_is_202_and_the_callback_goes_on() {
    together(async {
        let world = journaled().await;
        let (answered, took) = post(&world, "/slow/3000", "wait=1").await;
        assert_eq!((answered.status, answered.code().as_str()), (202, "202"));
        assert_eq!(applied(&answered), "wait=1");
        assert!(took >= Duration::from_secs(1), "{took:?}");
        let id = answered.request_id().unwrap();
        crate::query::status(&world, &id, "delivered").await;
        assert_eq!(world.callee.book.for_id(&id).len(), 1);
    });
}

#[test]
fn nobody_waits_longer_than_the_operator_allows_or_without_asking() {
    together(async {
        let world = journaled().await;
        let (answered, _) = post(&world, "/ok", "wait=9999").await;
        answered.accepted();
        assert_eq!(applied(&answered), "wait=30");
        let answered = world.gateway.post(&world.callback("/hang")).await;
        answered.accepted();
        assert_eq!(applied(&answered), "");
    });
}

#[test]
fn a_waiting_query_is_answered_when_the_callback_has_ended() {
    together(async {
        let world = journaled().await;
        // It ends seconds after the question, on a busy machine too.
        let mut callback = world.callback("/flaky/1");
        callback["options"] = json!({"delay_seconds": 4});
        let id = world.send(&callback).await;
        let wait = [("prefer", "wait=20")];
        let answered = world.gateway.ask(reqwest::Method::GET, &id, &wait).await;
        assert_eq!(answered.json()["status"], "delivered");
        assert_eq!(applied(&answered), "wait=20");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn waiting_callers_who_hang_up_leave_nothing_behind() {
    together(async {
        let world = crate::shared::own_journaled().await;
        let pid = world.gateway.ingress.process.pid();
        let sockets = || {
            let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
            let links = all.filter_map(|it| fs::read_link(it.path()).ok());
            links
                .filter(|it| it.to_string_lossy().starts_with("socket:"))
                .count()
        };
        // Whatever connections are opened once are open.
        let (answered, _) = post(&world, "/ok", "wait=20").await;
        answered.accepted();
        let before = sockets();
        let mut callback = world.callback("/slow/20000");
        callback["options"] = json!({"timeout_seconds": 60});
        let body = callback.to_string();
        let request = format!(
            "POST /api/callback HTTP/1.1\r\nhost: x\r\nprefer: wait=30\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let address = world.gateway.ingress.address;
        let waiting = join_all((0..50).map(async |_| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream
        }))
        .await;
        eventually("50 first attempts", SOON, async || {
            let count = world.callee.book.count();
            (count == 51).then_some(()).ok_or(format!("{count}"))
        })
        .await;
        drop(waiting);
        // Long before the attempts end, or the waits run out.
        eventually(
            "their connections closed",
            Duration::from_secs(15),
            async || {
                let now = sockets();
                // The dispatcher's own connections are this process's too, where it is one.
                let calls = world.gateway.dispatchers.is_empty();
                let limit = before + if calls { 50 } else { 0 };
                (now <= limit)
                    .then_some(())
                    .ok_or(format!("{now}, {before} before"))
            },
        )
        .await;
        // What was asked for is done all the same, once each.
        let received = world.callee.book.received();
        let ids: BTreeSet<_> = received.iter().filter_map(|it| it.id.as_deref()).collect();
        for id in &ids {
            crate::query::status(&world, id, "delivered").await;
        }
        let all = world.callee.book.count();
        assert_eq!((ids.len(), all), (51, 51));
    });
}
