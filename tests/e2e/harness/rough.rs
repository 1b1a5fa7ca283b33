//! Is a rough target as rough as it is told to be?

use std::time::{Duration, Instant};

use tests::{Mode, Rough, eventually, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::SOON;

#[tokio::test]
async fn a_rough_target_is_rough_as_told() {
    for (mode, fails_at_head, fails_at_body) in [
        (Mode::ResetBeforeHead, true, true),
        (Mode::ResetAfterHead, false, true),
        (Mode::Garbage, true, true),
        (Mode::CloseMidBody, false, true),
        (Mode::HugeHeaders, true, true),
    ] {
        let target = Rough::start(mode).await;
        let answer = http::client().post(target.url()).body("{}").send().await;
        assert_eq!(answer.is_err(), fails_at_head, "{mode:?}: {answer:?}");
        if let Ok(answer) = answer {
            assert_eq!(answer.bytes().await.is_err(), fails_at_body, "{mode:?}");
        }
        assert_eq!(
            (target.connections(), target.requests()),
            (1, 1),
            "{mode:?}"
        );
        eventually("the connection's end", SOON, async || {
            (target.open() == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_infinite_body_ends_when_the_client_leaves() {
    let target = Rough::start(Mode::InfiniteBody).await;
    let mut answer = http::client().post(target.url()).send().await.unwrap();
    let mut read = 0;
    while read < 1_000_000 {
        read += answer.chunk().await.unwrap().unwrap().len();
    }
    assert_eq!(target.open(), 1);
    drop(answer);
    eventually("the connection's end", SOON, async || {
        (target.open() == 0).then_some(())
    })
    .await;
    assert!(target.sent() >= 1_000_000);
}

#[tokio::test]
async fn a_dripping_answer_takes_its_time_between_bytes() {
    let target = Rough::start(Mode::Drip).await;
    let mut stream = TcpStream::connect(target.address()).await.unwrap();
    let asked = Instant::now();
    let request = b"POST /rough HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut first = [0; 4];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP");
    // Between four bytes there are three pauses.
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
}
