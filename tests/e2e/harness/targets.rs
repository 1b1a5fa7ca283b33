//! Tests of the scriptable target.

use std::time::{Duration, Instant};

use tests::targets::scripts;
use tests::{TestTarget, eventually, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::SOON;

#[tokio::test]
async fn a_raw_target_plays_its_script() {
    for (what, script, fails_at_head, fails_at_body) in [
        ("reset", scripts::reset_before_head(), true, true),
        ("reset after head", scripts::reset_after_head(), false, true),
        ("garbage", scripts::garbage(), true, true),
        ("truncated body", scripts::truncated_body(), false, true),
        ("huge headers", scripts::huge_headers(), true, true),
    ] {
        let target = TestTarget::raw(script);
        let answer = http::client().post(target.url()).body("{}").send().await;
        assert_eq!(answer.is_err(), fails_at_head, "{what}: {answer:?}");
        if let Ok(answer) = answer {
            assert_eq!(answer.bytes().await.is_err(), fails_at_body, "{what}");
        }
        assert_eq!(
            (target.connections(), target.request_count()),
            (1, 1),
            "{what}"
        );
        eventually("the connection's end", SOON, async || {
            (target.open_connections() == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_infinite_body_ends_when_the_client_leaves() {
    let target = TestTarget::raw(scripts::infinite_body());
    let mut answer = http::client().post(target.url()).send().await.unwrap();
    let mut read = 0;
    while read < 1_000_000 {
        read += answer.chunk().await.unwrap().unwrap().len();
    }
    assert_eq!(target.open_connections(), 1);
    drop(answer);
    eventually("the connection's end", SOON, async || {
        (target.open_connections() == 0).then_some(())
    })
    .await;
    assert!(target.sent_bytes() >= 1_000_000);
}

#[tokio::test]
async fn a_dripping_answer_pauses_between_bytes() {
    let target = TestTarget::raw(scripts::slow_answer());
    let mut stream = TcpStream::connect(target.address()).await.unwrap();
    let asked = Instant::now();
    let request = b"POST / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut first = [0; 4];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP");
    // There are three pauses between four bytes.
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
}
