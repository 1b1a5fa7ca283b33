//! Requests that take too long are answered 408, at the right time. Who sends nothing gets no answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The timeout of a head, and in this test of a body as well.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// In addition, for a busy machine.
pub(super) const SLACK: Duration = Duration::from_secs(20);
/// Most need less than this in addition.
const PROMPT: Duration = Duration::from_secs(4);
/// Pause between two bytes of a slow sender.
const DRIP: Duration = Duration::from_millis(200);
/// Connections of each kind.
const EACH: usize = 20;

/// Sends `whole` at once and then `drops` byte by byte until the connection ends. Returns the
/// statuses of the answers, and the time it took.
pub(super) async fn drip(address: SocketAddr, whole: &str, drops: &str) -> (Vec<String>, Duration) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    stream.write_all(whole.as_bytes()).await.unwrap();
    let (mut drops, mut answer, mut buffer) = (drops.bytes(), Vec::new(), [0; 4096]);
    while begun.elapsed() < LIMIT + SLACK {
        match timeout(DRIP, stream.read(&mut buffer)).await {
            Ok(Ok(read @ 1..)) => answer.extend_from_slice(&buffer[..read]),
            Ok(_) => break,
            Err(_) => {
                if let Some(drop) = drops.next() {
                    // The other side may just have closed.
                    let _ = stream.write_all(&[drop]).await;
                }
            }
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let statuses = answer.split("HTTP/1.1 ").skip(1);
    (
        statuses.map(|it| it[..3].to_owned()).collect(),
        begun.elapsed(),
    )
}

/// Every connection that has begun a request gets its 408, and all are closed, all at the same time.
pub(super) async fn all(address: SocketAddr, key: &str) -> usize {
    let head = format!(
        "POST /api/callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\ncontent-length: 1000\r\n"
    );
    let body = format!("{head}\r\n{{");
    let first = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let before = format!("{first}{body}");
    let refused = format!("{}\r\n{}", head.replace("1000", "10"), "{\"a\": \"b\"}");
    let spaces = " ".repeat(200);
    let cases: [(&str, &str, &str, &[&str]); 13] = [
        ("nothing", "", "", &[]),
        ("a head that stops", &head, "", &["408"]),
        ("a head that drips", "", &head, &["408"]),
        (
            "a header that drips",
            &format!("{head}x: "),
            &spaces,
            &["408"],
        ),
        ("a body that stops", &body, "", &["408"]),
        ("a body that drips", &body, &spaces, &["408"]),
        (
            "a second body that drips",
            &before,
            &spaces,
            &["200", "408"],
        ),
        (
            "a second head that stops",
            &format!("{first}{head}"),
            "",
            &["200", "408"],
        ),
        ("a second head of one byte", first, "P", &["200", "408"]),
        ("a second head that drips", first, &head, &["200", "408"]),
        (
            "a second head of an empty line",
            first,
            "\r\n",
            &["200", "408"],
        ),
        (
            "a second head behind a body",
            &format!("{refused}{head}"),
            "",
            &["400", "408"],
        ),
        (
            "a third head that drips",
            &format!("{first}{refused}"),
            &head,
            &["200", "400", "408"],
        ),
    ];
    let asked = cases.iter().flat_map(|case| [case; EACH]);
    let ended = asked.map(async |(kind, whole, drops, expected)| {
        let (statuses, took) = drip(address, whole, drops).await;
        assert_eq!(statuses, *expected, "{kind}");
        // The server's timers have a resolution of one second.
        let early = LIMIT - Duration::from_millis(1_500);
        assert!((early..LIMIT + SLACK).contains(&took), "{kind}: {took:?}");
        took
    });
    let mut took = join_all(ended).await;
    took.sort_unstable();
    let median = took[took.len() / 2];
    assert!(median < LIMIT + PROMPT, "{median:?}");
    cases.len() * EACH
}
