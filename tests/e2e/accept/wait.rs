//! Waiting with `Prefer: wait`: the caller gets the result of the first attempt, and nothing leaks.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tests::gateway::GatewayResponse;
use tests::{SharedGateway, eventually, on_shared_runtime};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fixtures::journaled;

const SOON: Duration = Duration::from_secs(30);
/// A later answer is the end of the wait, not the result.
const HEARD: Duration = Duration::from_secs(15);

async fn post(fixture: &SharedGateway, path: &str, prefer: &str) -> (GatewayResponse, Duration) {
    let begun = Instant::now();
    let headers = [("prefer", prefer)];
    let body = fixture.callback(path).to_string();
    let answered = fixture.gateway.post_raw(body, &headers).await;
    (answered, begun.elapsed())
}

/// POSTs with a wait of 20 s. Between two processes a reply is sent only once and may be lost with
/// its connection on a busy machine, so one of two has to arrive.
async fn waited_for(fixture: &SharedGateway, path: &str) -> (GatewayResponse, Duration) {
    let answered = post(fixture, path, "wait=20").await;
    if answered.1 < HEARD || fixture.gateway.dispatchers.is_empty() {
        return answered;
    }
    post(fixture, path, "wait=20").await
}

fn applied(answered: &GatewayResponse) -> &str {
    let applied = answered.headers.get("preference-applied");
    applied.map_or("", |it| it.to_str().unwrap())
}

#[test]
fn a_waiting_caller_learns_of_the_delivery() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let (answered, took) = waited_for(&fixture, "/slow/700").await;
        let id = answered.accepted();
        assert_eq!(applied(&answered), "wait=20");
        assert!(took >= Duration::from_millis(700), "{took:?}");
        assert!(took < HEARD, "{took:?}");
        let received = fixture.callee.requests.for_id(&id);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].status, Some(200));
    });
}

#[test]
fn a_waiting_caller_learns_of_the_retry() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let (answered, took) = waited_for(&fixture, "/status/503").await;
        assert_eq!((answered.status, answered.code().as_str()), (202, "202"));
        assert_eq!(applied(&answered), "wait=20");
        assert!(took < HEARD, "{took:?}");
        let id = answered.request_id().unwrap();
        assert!(!fixture.callee.requests.for_id(&id).is_empty());
    });
}

#[test]
fn a_waiting_caller_learns_of_the_dead_letter() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let (answered, took) = waited_for(&fixture, "/status/400").await;
        assert_eq!((answered.status, answered.code().as_str()), (200, "500500"));
        assert_eq!(applied(&answered), "wait=20");
        assert!(took < HEARD, "{took:?}");
        assert!(answered.request_id().is_some());
    });
}

#[test]
fn a_wait_that_times_out_is_202_and_the_callback_continues() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let (answered, took) = post(&fixture, "/slow/3000", "wait=1").await;
        assert_eq!((answered.status, answered.code().as_str()), (202, "202"));
        assert_eq!(applied(&answered), "wait=1");
        assert!(took >= Duration::from_secs(1), "{took:?}");
        let id = answered.request_id().unwrap();
        crate::accept::query::status(&fixture, &id, "delivered").await;
        assert_eq!(fixture.callee.requests.for_id(&id).len(), 1);
    });
}

#[test]
fn a_wait_is_capped_and_only_on_request() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let (answered, _) = post(&fixture, "/ok", "wait=9999").await;
        answered.accepted();
        assert_eq!(applied(&answered), "wait=30");
        let answered = fixture.gateway.post(&fixture.callback("/hang")).await;
        answered.accepted();
        assert_eq!(applied(&answered), "");
    });
}

#[test]
fn a_waiting_query_is_answered_when_the_callback_has_ended() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        // It ends seconds after the query, on a busy machine too.
        let mut callback = fixture.callback("/flaky/1");
        callback["options"] = json!({"delay_seconds": 4});
        let id = fixture.send(&callback).await;
        let wait = [("prefer", "wait=20")];
        let answered = fixture.gateway.ask(reqwest::Method::GET, &id, &wait).await;
        assert_eq!(answered.json()["status"], "delivered");
        assert_eq!(applied(&answered), "wait=20");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn waiting_callers_that_disconnect_leave_nothing_behind() {
    on_shared_runtime(async {
        let fixture = crate::fixtures::own_journaled().await;
        let pid = fixture.gateway.ingress.process.pid();
        let sockets = || {
            let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
            let links = all.filter_map(|it| fs::read_link(it.path()).ok());
            links
                .filter(|it| it.to_string_lossy().starts_with("socket:"))
                .count()
        };
        // Connections that are opened only once are open after this.
        let (answered, _) = post(&fixture, "/ok", "wait=20").await;
        answered.accepted();
        let before = sockets();
        let mut callback = fixture.callback("/slow/20000");
        callback["options"] = json!({"timeout_seconds": 60});
        let body = callback.to_string();
        let request = format!(
            "POST /api/callback HTTP/1.1\r\nhost: x\r\nprefer: wait=30\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let address = fixture.gateway.ingress.address;
        let waiting = join_all((0..50).map(async |_| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream
        }))
        .await;
        eventually("50 first attempts", SOON, async || {
            let count = fixture.callee.requests.count();
            (count == 51).then_some(()).ok_or(format!("{count}"))
        })
        .await;
        drop(waiting);
        // Long before the attempts end or the waits time out.
        eventually(
            "their connections closed",
            Duration::from_secs(15),
            async || {
                let now = sockets();
                // In the one process the connections of the dispatcher are counted as well.
                let calls = fixture.gateway.dispatchers.is_empty();
                let limit = before + if calls { 50 } else { 0 };
                (now <= limit)
                    .then_some(())
                    .ok_or(format!("{now}, {before} before"))
            },
        )
        .await;
        // Every callback is delivered exactly once all the same.
        let received = fixture.callee.requests.received();
        let ids: BTreeSet<_> = received.iter().filter_map(|it| it.id.as_deref()).collect();
        for id in &ids {
            crate::accept::query::status(&fixture, id, "delivered").await;
        }
        let all = fixture.callee.requests.count();
        assert_eq!((ids.len(), all), (51, 51));
    });
}
