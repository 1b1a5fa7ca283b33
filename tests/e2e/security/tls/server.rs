//! A target with TLS that counts requests, connections and resumed sessions.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A target at `https://127.0.0.1:PORT/` that answers 204 to everything, until dropped.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    /// Of them, those that resumed a session.
    resumed: AtomicUsize,
    /// The heads of complete requests.
    heads: Mutex<Vec<String>>,
    /// Bytes of requests, complete or not.
    bytes: AtomicUsize,
}

impl Server {
    pub(crate) async fn start(config: ServerConfig) -> Self {
        Self::start_as(config, "").await
    }

    /// Closes each connection after one answer.
    pub(crate) async fn start_closing(config: ServerConfig) -> Self {
        Self::start_as(config, "connection: close\r\n").await
    }

    async fn start_as(config: ServerConfig, header: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (seen, stop) = (Arc::<Seen>::default(), CancellationToken::new());
        let (of_all, all) = (Arc::clone(&seen), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                of_all.connections.fetch_add(1, Ordering::Relaxed);
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&of_all));
                tokio::spawn(all.clone().run_until_cancelled_owned(async move {
                    // Some tests are about clients that reject the certificate.
                    let _ = serve(acceptor.accept(stream).await?, header, &seen).await;
                    std::io::Result::Ok(())
                }));
            }
        }));
        Self {
            address,
            seen,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/in", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn resumed(&self) -> usize {
        self.seen.resumed.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.seen.bytes.load(Ordering::Relaxed)
    }

    /// Whether a complete request with this id has arrived.
    pub(crate) fn took(&self, id: &str) -> bool {
        let heads = self.seen.heads.lock().unwrap();
        heads.iter().any(|head| head.contains(id))
    }
}

async fn serve(mut stream: TlsStream<TcpStream>, header: &str, seen: &Seen) -> std::io::Result<()> {
    if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
        seen.resumed.fetch_add(1, Ordering::Relaxed);
    }
    let answer = format!("HTTP/1.1 204 No Content\r\n{header}\r\n");
    let mut held = Vec::new();
    loop {
        let count = stream.read_buf(&mut held).await?;
        if count == 0 {
            return Ok(());
        }
        seen.bytes.fetch_add(count, Ordering::Relaxed);
        while let Some((head, length)) = whole(&held) {
            seen.heads.lock().unwrap().push(head);
            held.drain(..length);
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            if !header.is_empty() {
                return stream.shutdown().await;
            }
        }
    }
}

/// The head of the first request and its total length, once it is complete.
fn whole(held: &[u8]) -> Option<(String, usize)> {
    let end = held.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&held[..end]).to_ascii_lowercase();
    let mut lines = head.lines();
    let body = lines.find_map(|line| line.strip_prefix("content-length:"));
    let length = end + body.map_or(0, |body| body.trim().parse().unwrap());
    (held.len() >= length).then_some((head, length))
}
