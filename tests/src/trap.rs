//! Was this address called at all? A listener that counts and says nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A listener where nobody should come, until dropped.
#[derive(Debug)]
pub struct Trap {
    address: SocketAddr,
    counts: Arc<Counts>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl Trap {
    /// Sets it on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Sets it on this address.
    ///
    /// # Panics
    /// As [`Trap::start`].
    pub async fn start_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free address");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::<Counts>::default();
        let stop = CancellationToken::new();
        let accepting = accept(listener, counts.clone(), stop.clone());
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(accepting).await });
        Self {
            address,
            counts,
            _stop: stop.drop_guard(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made to it, and how many bytes came in over them.
    pub fn caught(&self) -> (u64, u64) {
        let Counts { connections, bytes } = &*self.counts;
        (
            connections.load(Ordering::SeqCst),
            bytes.load(Ordering::SeqCst),
        )
    }
}

async fn accept(listener: TcpListener, counts: Arc<Counts>, stop: CancellationToken) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        counts.connections.fetch_add(1, Ordering::SeqCst);
        let (counts, stop) = (counts.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(swallow(stream, &counts)).await });
    }
}

async fn swallow(mut stream: TcpStream, counts: &Counts) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        counts.bytes.fetch_add(read as u64, Ordering::SeqCst);
    }
}
