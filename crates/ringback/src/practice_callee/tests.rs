//! Tests of the practice callee over real HTTP on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{RequestBody, RequestLog, serve_with};

struct RunningCallee {
    log: Arc<RequestLog>,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

fn start_with(log: RequestLog) -> RunningCallee {
    let log = Arc::new(log);
    let stop = CancellationToken::new();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let (address, server) = serve_with(log.clone(), listen, stop.clone()).unwrap();
    RunningCallee {
        log,
        address,
        stop,
        server: tokio::spawn(server),
    }
}

fn start() -> RunningCallee {
    start_with(RequestLog::default())
}

impl RunningCallee {
    async fn send(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!("{head}\r\nhost: callee\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }

    /// Sends `head` (request line and more headers) and reads all that is answered.
    async fn raw(&self, head: &str, body: &[u8]) -> String {
        let mut stream = self
            .send(&format!("{head}\r\nconnection: close"), body)
            .await;
        let mut answer = Vec::new();
        // A reset is not an error here: the bytes before it count.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn post(&self, path: &str, id: &str) -> String {
        self.raw(&format!("POST {path} HTTP/1.1\r\nwebhook-id: {id}"), b"{}")
            .await
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.raw(&format!("GET {path} HTTP/1.1"), b"").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body = match head.contains("transfer-encoding: chunked") {
            true => unchunked(body),
            false => body.to_owned(),
        };
        serde_json::from_str(&body).unwrap()
    }
}

/// Joins a chunked body (RFC 9112, section 7.1).
fn unchunked(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let (chunk, rest) = rest.split_at(usize::from_str_radix(size, 16).unwrap());
        body.push_str(chunk);
        chunks = &rest[2..];
    }
    body
}

#[track_caller]
fn check(answer: &str, status: u16) {
    let seen = answer.split(' ').nth(1).unwrap_or("no answer");
    assert_eq!(seen, status.to_string(), "{answer}");
}

#[tokio::test]
async fn it_answers_the_status_in_the_path() {
    let callee = start();
    for status in [200, 204, 301, 304, 400, 404, 418, 429, 500, 503, 599] {
        check(
            &callee.post(&format!("/status/{status}"), "a").await,
            status,
        );
    }
    check(&callee.post("/ok", "a").await, 200);
    check(&callee.post("/no/such/path", "a").await, 404);
}

#[tokio::test]
async fn an_interim_status_is_the_only_response() {
    let callee = start();
    for status in [100, 102, 103] {
        let answer = callee.post(&format!("/status/{status}"), "a").await;
        check(&answer, status);
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn flaky_fails_as_often_as_its_path_says_for_each_id() {
    let callee = start();
    for id in ["a", "b"] {
        for status in [503, 503, 200, 200] {
            check(&callee.post("/flaky/2", id).await, status);
        }
    }
    check(&callee.post("/flaky/1", "a").await, 503);
}

#[tokio::test]
async fn retry_after_is_sent_once_for_each_id() {
    let callee = start();
    let first = callee.post("/retry-after/2", "a").await;
    check(&first, 429);
    assert!(first.contains("\r\nretry-after: 2\r\n"), "{first}");
    check(&callee.post("/retry-after/2", "a").await, 200);
    check(&callee.post("/retry-after/2", "b").await, 429);
}

#[tokio::test]
async fn a_redirect_points_where_its_path_says() {
    let callee = start();
    let answer = callee
        .post("/redirect?to=http%3A%2F%2F169.254.169.254%2F", "a")
        .await;
    check(&answer, 307);
    assert!(
        answer.contains("\r\nlocation: http://169.254.169.254/\r\n"),
        "{answer}"
    );
    // A value with a line break must not split the header.
    check(&callee.post("/redirect?to=x%0d%0ay", "a").await, 400);
}

#[tokio::test]
async fn slow_answers_after_its_time() {
    let callee = start();
    let begun = Instant::now();
    check(&callee.post("/slow/150", "a").await, 200);
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_reset_sends_no_byte() {
    let callee = start();
    assert_eq!(callee.post("/reset", "a").await, "");
    assert_eq!(callee.log.received()[0].status, None);
}

#[tokio::test]
async fn a_hanging_request_is_listed_and_ends_with_the_server() {
    let callee = start();
    let mut stream = callee
        .send("POST /hang HTTP/1.1\r\nwebhook-id: a", b"{}")
        .await;
    // One worker may be faster than the other, so a later request does not prove the earlier.
    while callee.log.count() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(callee.log.for_id("a")[0].status, None);
    let mut answer = [0; 1];
    let silence = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
    assert!(silence.is_err(), "it answered");
    callee.stop.cancel();
    callee.server.await.unwrap().unwrap();
    assert_eq!(stream.read(&mut answer).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_kept_connection_serves_many_requests() {
    let callee = start();
    let mut stream = TcpStream::connect(callee.address).await.unwrap();
    for _ in 0..3 {
        let request = b"POST /status/204 HTTP/1.1\r\nhost: callee\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(request).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = stream.read(&mut answer).await.unwrap();
        check(&String::from_utf8_lossy(&answer[..length]), 204);
    }
    assert_eq!(callee.log.count(), 3);
}

#[tokio::test]
async fn a_request_is_listed_as_it_was_sent() {
    let callee = start();
    let head = "PUT /status/503?x=%20 HTTP/1.1\r\nwebhook-id: a\r\nX-Callback-Attempt: 2\r\nX-B: 1\r\nX-B: 2";
    let body = r#"{ "b":1.0, "a":"乐" }"#;
    callee.raw(head, body.as_bytes()).await;
    let list = callee.json("/received").await;
    let entry = &list[0];
    assert_eq!(entry["index"], 0);
    assert_eq!(entry["method"], "PUT");
    assert_eq!(entry["path"], "/status/503?x=%20");
    assert_eq!(entry["id"], "a");
    assert_eq!(entry["attempt"], 2);
    assert_eq!(entry["headers"]["x-b"], "1, 2");
    assert_eq!(entry["body"], body);
    assert_eq!(entry["status"], 503);
    assert!(entry["time_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(
        callee.log.received()[0].body,
        RequestBody::Text(body.to_owned())
    );
}

#[tokio::test]
async fn a_body_that_is_not_text_is_listed_in_base64() {
    let callee = start();
    callee.raw("POST /ok HTTP/1.1", &[0xff, 0xfb, 0xf0]).await;
    let list = callee.json("/received").await;
    assert_eq!(list[0]["body_base64"], "//vw");
    assert_eq!(list[0].get("body"), None);
    assert_eq!(callee.log.received()[0].body.as_bytes(), [0xff, 0xfb, 0xf0]);
}

#[tokio::test]
async fn the_list_is_paged_filtered_counted_and_cleared() {
    let callee = start();
    assert_eq!(callee.json("/received").await, Value::Array(vec![]));
    for id in ["a", "b", "a"] {
        callee.post("/ok", id).await;
    }
    let indexes = |list: Value| -> Vec<u64> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["index"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(indexes(callee.json("/received").await), [0, 1, 2]);
    assert_eq!(indexes(callee.json("/received?since=1").await), [1, 2]);
    assert_eq!(indexes(callee.json("/received?id=a").await), [0, 2]);
    assert_eq!(indexes(callee.json("/received?id=a&since=1").await), [2]);
    assert_eq!(callee.json("/received/count").await["count"], 3);
    check(&callee.raw("DELETE /received HTTP/1.1", b"").await, 204);
    assert_eq!(callee.json("/received/count").await["count"], 0);
    callee.post("/ok", "c").await;
    assert_eq!(indexes(callee.json("/received").await), [3]);
}

#[tokio::test]
async fn the_log_removes_the_oldest_first() {
    let callee = start_with(RequestLog::bounded(2, usize::MAX));
    for id in ["a", "b", "c"] {
        callee.post("/ok", id).await;
    }
    let ids = |log: &RequestLog| -> Vec<String> {
        log.received()
            .iter()
            .filter_map(|one| one.id.clone())
            .collect()
    };
    assert_eq!(ids(&callee.log), ["b", "c"]);
    assert_eq!(callee.log.count(), 3);

    let callee = start_with(RequestLog::bounded(100, 1_500));
    for id in ["a", "b"] {
        let head = format!("POST /ok HTTP/1.1\r\nwebhook-id: {id}");
        callee.raw(&head, &[b'x'; 1_000]).await;
    }
    assert_eq!(ids(&callee.log), ["b"]);
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let callee = start();
    let again = serve_with(Arc::default(), callee.address, CancellationToken::new());
    assert_eq!(
        again.err().map(|error| error.kind()),
        Some(std::io::ErrorKind::AddrInUse)
    );
}

#[tokio::test]
async fn the_root_lists_the_paths_and_is_not_a_call() {
    let callee = start();
    let answer = callee.raw("GET / HTTP/1.1", b"").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for path in ["/ok ", "/status/503 ", "/flaky/2 ", "GET /received "] {
        assert!(answer.contains(path), "{answer}");
    }
    assert!(answer.ends_with("this list\n"), "{answer}");
    assert_eq!(callee.log.count(), 0);
    let posted = callee.raw("POST / HTTP/1.1", b"").await;
    assert!(posted.starts_with("HTTP/1.1 404"), "{posted}");
    assert!(posted.ends_with("{\"code\":\"404\"}\n"), "{posted}");
    assert_eq!(callee.log.count(), 1);
}
