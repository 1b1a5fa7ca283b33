//! What is the cheapest target? One that answers 204 to whatever comes, counts, and knows how long
//! each was under way.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::load::message_end;
use super::stamp;

/// Targets on free ports of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where the first one listens.
    pub address: SocketAddr,
    /// Where all of them do.
    pub addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    /// How long an answer takes.
    hold: Duration,
    count: AtomicU64,
    /// From each one's stamp until it came in.
    under_way: Mutex<Vec<Duration>>,
}

impl Sink {
    /// Starts one on the current runtime.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        Self::many(1, Duration::ZERO).await
    }

    /// Starts so many, each of which takes so long to answer.
    ///
    /// # Panics
    /// When one cannot listen.
    pub async fn many(count: usize, hold: Duration) -> Self {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            hold,
            count: AtomicU64::new(0),
            under_way: Mutex::default(),
        });
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.expect("a free port");
            addresses.push(listener.local_addr().expect("an address"));
            tokio::spawn(listen(listener, shared.clone(), stop.clone()));
        }
        Self {
            address: addresses[0],
            addresses,
            shared,
            _stop: stop.drop_guard(),
        }
    }

    /// How many requests came in whole.
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// How long those with a stamp were under way that came in since this was last asked.
    pub fn under_way(&self) -> Vec<Duration> {
        let lock = self.shared.under_way.lock();
        std::mem::take(&mut *lock.unwrap_or_else(PoisonError::into_inner))
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        let (shared, stop) = (shared.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(serve(stream, &shared)).await });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        while let Some(end) = message_end(&bytes) {
            if let Some(time) = stamp::age(&bytes[..end]) {
                let lock = shared.under_way.lock();
                lock.unwrap_or_else(PoisonError::into_inner).push(time);
            }
            bytes.drain(..end);
            shared.count.fetch_add(1, Ordering::Relaxed);
            if !shared.hold.is_zero() {
                tokio::time::sleep(shared.hold).await;
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}
