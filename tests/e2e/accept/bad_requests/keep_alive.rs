//! The head timeout on a persistent connection: it applies to every head, and to nothing else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tests::{GatewayOptions, SharedGateway, eventually, on_shared_runtime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::slow::{LIMIT, SLACK, drip};
use crate::fixtures::shared;

/// Longer than a head may take, and much shorter than a body may take in the shared gateway (60 s).
const LONG: Duration = Duration::from_millis(6_500);
/// Enough for what was written to be read as well.
const SHORT: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_secs(30);
/// Connections that send a head slowly.
const DRIPPING: usize = 200;
/// Median time of a request that is not held up, on a busy machine.
const PROMPT: Duration = Duration::from_secs(2);

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
const HEAD: &str = "POST /api/callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

fn post(body: &str) -> String {
    format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len())
}

fn post_in_chunks(body: &str) -> String {
    let length = body.len();
    format!("{HEAD}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
}

/// A connection that the client keeps open.
struct Kept {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Kept {
    async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The status of the next answer.
    async fn status(&mut self) -> u16 {
        loop {
            let text = String::from_utf8_lossy(&self.unread).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1);
                let length = length.map_or(0, |it| it.lines().next().unwrap().parse().unwrap());
                if body.len() >= length {
                    let status = head[9..12].parse().unwrap();
                    self.unread.drain(..head.len() + 4 + length);
                    return status;
                }
            }
            let read = timeout(SOON, self.stream.read_buf(&mut self.unread)).await;
            assert_ne!(read.unwrap().unwrap(), 0, "{text}");
        }
    }

    async fn exchange(&mut self, request: &str) {
        self.send(request).await;
        assert_eq!(self.status().await, 200);
    }

    /// The connection stays open for this long; answers may arrive.
    async fn stays(&mut self, this_long: Duration) {
        let begun = Instant::now();
        while let Some(left) = this_long.checked_sub(begun.elapsed()) {
            if let Ok(read) = timeout(left, self.stream.read_buf(&mut self.unread)).await {
                let unread = String::from_utf8_lossy(&self.unread);
                let ended = format!("after {:?}: {unread}", begun.elapsed());
                assert_ne!(read.unwrap(), 0, "{ended}");
            }
        }
    }

    /// The idle connection stays open for longer than a head may take, and is still usable.
    async fn idles(mut self) {
        self.stays(LONG).await;
        assert!(self.unread.is_empty(), "{:?}", self.unread);
        self.exchange(GET).await;
    }
}

#[test]
fn the_head_timeout_applies_neither_to_bodies_nor_to_idle_connections() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let address = fixture.gateway.ingress.address;
        let body = fixture.callback("/ok").to_string();
        let (first, second) = body.split_at(20);

        let slow_body = async {
            let mut kept = Kept::to(address).await;
            kept.exchange(GET).await;
            let length = body.len();
            kept.send(&format!("{HEAD}content-length: {length}\r\n\r\n{first}"))
                .await;
            kept.stays(LONG).await;
            kept.exchange(second).await;
            kept.idles().await;
        };
        let slow_body_when_told_to_go_on = async {
            let mut kept = Kept::to(address).await;
            kept.exchange(GET).await;
            let length = body.len();
            kept.send(&format!(
                "{HEAD}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
            ))
            .await;
            assert_eq!(kept.status().await, 100);
            kept.stays(LONG).await;
            kept.exchange(&body).await;
            kept.idles().await;
        };
        // Old clients do this.
        let empty_line_behind_a_body = async {
            let mut kept = Kept::to(address).await;
            kept.exchange(&format!("{}\r\n", post(&body))).await;
            kept.idles().await;
        };
        let empty_line_before_a_head = async {
            let mut kept = Kept::to(address).await;
            kept.exchange(GET).await;
            kept.send("\r\n").await;
            kept.stays(SHORT).await;
            kept.exchange(GET).await;
            kept.idles().await;
        };
        let blank_body = async {
            let mut kept = Kept::to(address).await;
            kept.send(&format!("{HEAD}content-length: 3\r\n\r\n   "))
                .await;
            assert_eq!(kept.status().await, 400);
            kept.idles().await;
        };
        // Each head is quick, but there is always an incomplete one.
        let one_behind_the_other = async {
            let mut kept = Kept::to(address).await;
            let (first, rest) = GET.split_at(9);
            kept.send(first).await;
            let begun = Instant::now();
            while begun.elapsed() < LONG {
                kept.send(&format!("{rest}{first}")).await;
                assert_eq!(kept.status().await, 200);
                kept.stays(SHORT).await;
            }
            kept.exchange(rest).await;
        };
        // The second body is not split: an answer that is sent while a body is incoming ends the
        // connection, even if that body belongs to another request.
        let (post, chunks, get) = (post(&body), post_in_chunks(&body), GET.to_owned());
        let pairs = [
            (&post, &get),
            (&chunks, &get),
            (&get, &post),
            (&post, &post),
            (&post, &chunks),
        ];
        let cuts = pairs.iter().flat_map(|(first, second)| {
            let second_head = second.find("\r\n\r\n").unwrap();
            let both = format!("{first}{second}");
            (0..first.len() + second_head)
                .step_by(5)
                .map(move |at| (both.clone(), at))
        });
        let cut = join_all(cuts.map(async |(both, at)| {
            let (before, behind) = both.split_at(at);
            let mut kept = Kept::to(address).await;
            kept.send(before).await;
            kept.stays(SHORT).await;
            kept.send(behind).await;
            for _ in 0..2 {
                assert_eq!(kept.status().await, 200, "{behind}");
            }
            kept.idles().await;
        }));
        tokio::join!(
            slow_body,
            slow_body_when_told_to_go_on,
            empty_line_behind_a_body,
            empty_line_before_a_head,
            blank_body,
            one_behind_the_other,
            cut
        );
    });
}

#[test]
fn hundreds_of_slow_heads_hold_nobody_up_and_leave_nothing_open() {
    on_shared_runtime(async {
        let fixture = SharedGateway::start(|_| GatewayOptions::default()).await;
        let ingress = &fixture.gateway.ingress;
        let body = fixture.callback("/ok").to_string();
        let mut client = Kept::to(ingress.address).await;
        client.exchange(GET).await;
        let open = ingress.process.open_files();

        let dripping = join_all((0..DRIPPING).map(|_| drip(ingress.address, GET, HEAD)));
        let client = async {
            let (begun, mut times) = (Instant::now(), Vec::new());
            while begun.elapsed() < LIMIT {
                for request in [GET, &post(&body)] {
                    let asked = Instant::now();
                    client.exchange(request).await;
                    times.push(asked.elapsed());
                }
                client.stays(SHORT).await;
            }
            times.sort_unstable();
            times[times.len() / 2]
        };
        let (ended, median) = tokio::join!(dripping, client);
        for (statuses, took) in ended {
            assert_eq!(statuses, ["200", "408"]);
            assert!(took < LIMIT + SLACK, "{took:?}");
        }
        assert!(median < PROMPT, "{median:?}");
        eventually("all closed", SOON, async || {
            let now = ingress.process.open_files();
            // Some of them are connections to the callee.
            if now < open + DRIPPING / 4 {
                Ok(())
            } else {
                Err(format!("{now} files open, and {open} before"))
            }
        })
        .await;
    });
}
