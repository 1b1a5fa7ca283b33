//! Any number of targets that keep their connections open leaves the listeners theirs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use tests::{
    GatewayOptions, GatewayRole, SharedGateway, callback, eventually, http, on_shared_runtime,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What many systems start a process with.
const OPEN_FILES: u32 = 1_024;
/// Three eighths of it.
const MAX_CONNECTIONS: usize = 384;
/// Each is called at an address of its own.
const TARGETS: u32 = 2_000;
const SENDERS: usize = 16;
/// The longest time for an answer of a listener. On a busy machine it may take a second.
const MAX_WAIT: Duration = Duration::from_secs(10);
const IN_TIME: Duration = Duration::from_secs(240);

/// One listener on all addresses 127.x.y.z, which answers 200 and keeps every connection open.
struct EveryAddress {
    port: u16,
    state: Arc<State>,
    _stop: DropGuard,
}

#[derive(Default)]
struct State {
    requests: AtomicUsize,
    open: AtomicUsize,
    max_open: AtomicUsize,
}

impl EveryAddress {
    fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
            .unwrap();
        let listener = socket.listen(1_024).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let stop = CancellationToken::new();
        let accepting = {
            let (state, stop) = (state.clone(), stop.clone());
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let state = state.clone();
                    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
                        let open = state.open.fetch_add(1, Ordering::SeqCst) + 1;
                        state.max_open.fetch_max(open, Ordering::SeqCst);
                        // It ends when the client leaves.
                        let _ended = answer_all(stream, &state).await;
                        state.open.fetch_sub(1, Ordering::SeqCst);
                    }));
                }
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self {
            port,
            state,
            _stop: stop.drop_guard(),
        }
    }

    fn url(&self, number: u32) -> String {
        let [_, x, y, z] = (number + 256).to_be_bytes();
        format!("http://127.{x}.{y}.{z}:{}/", self.port)
    }
}

async fn answer_all(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let (mut received, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&buffer[..count]);
        // The body is the callback's: it ends the request.
        if received.ends_with(br#"{ "field1": 1 }"#) || received.ends_with(br#"{"field1":1}"#) {
            received.clear();
            state.requests.fetch_add(1, Ordering::SeqCst);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await?;
        }
    }
}

#[test]
fn connections_to_any_number_of_targets_leave_the_listeners_theirs() {
    on_shared_runtime(async {
        let fixture = SharedGateway::start(|_| GatewayOptions {
            open_files: Some(OPEN_FILES),
            ..GatewayOptions::default()
        })
        .await;
        let fixture = fixture.in_test();
        let targets = EveryAddress::start();
        let dispatching = fixture.gateway.instances().last().unwrap();
        let pages = [
            format!("http://{}/healthz", dispatching.address),
            format!("http://{}/readyz", dispatching.address),
            format!("http://{}/readyz", dispatching.metrics),
            format!("http://{}/healthz", fixture.gateway.ingress.address),
        ];
        let done = AtomicBool::new(false);
        let watching = async {
            let (mut longest, mut count) = (Duration::ZERO, 0);
            while !done.load(Ordering::SeqCst) {
                for page in &pages {
                    // A connection of its own each time: the one to accept is the one that fails.
                    let asked = Instant::now();
                    let answer = http::client().get(page).send();
                    let answer = tokio::time::timeout(MAX_WAIT, answer).await;
                    let answer = answer.unwrap_or_else(|_| panic!("{page} does not answer"));
                    assert_eq!(answer.unwrap().status(), 200, "{page}");
                    longest = longest.max(asked.elapsed());
                    count += 1;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            (longest, count)
        };
        let sending = async {
            let posts = stream::iter(0..TARGETS).map(async |number| {
                let callback = callback(&targets.url(number));
                let sent = tokio::time::timeout(MAX_WAIT, fixture.send(&callback)).await;
                sent.expect("an answer of the ingress");
            });
            posts.buffer_unordered(SENDERS).collect::<Vec<()>>().await;
            eventually("all to be delivered", IN_TIME, async || {
                let count = targets.state.requests.load(Ordering::SeqCst);
                (count == TARGETS as usize)
                    .then_some(())
                    .ok_or(count.to_string())
            })
            .await;
            done.store(true, Ordering::SeqCst);
        };
        let (seen, ()) = tokio::join!(watching, sending);
        let max_open = targets.state.max_open.load(Ordering::SeqCst);
        println!("{TARGETS} targets: at most {max_open} connections; pages {seen:?}");
        // One that is closed here may still be open over there for a moment.
        assert!(
            max_open <= MAX_CONNECTIONS * 3 / 2,
            "{max_open} open at once"
        );
        let role = GatewayRole::Dispatcher(0);
        let open = fixture.metric(role, "ringback_target_connections").await;
        assert!(open <= MAX_CONNECTIONS as u64, "{open}");
        let shed = fixture
            .metric(role, "ringback_target_connections_shed_total")
            .await;
        let expected = u64::from(TARGETS) - MAX_CONNECTIONS as u64;
        assert!(shed >= expected / 2, "{shed} of about {expected}");
        let log = dispatching.process.log();
        assert!(!log.contains("out of descriptors"), "calls failed");
        assert!(
            !log.contains("Error accepting connection"),
            "accepts failed"
        );
        // What is used again and again is not closed for others.
        let one = targets.url(0);
        fixture.send(&callback(&one)).await;
        let files = dispatching.process.open_files();
        assert!(files < OPEN_FILES as usize / 2 + 100, "{files} files");
    });
}
