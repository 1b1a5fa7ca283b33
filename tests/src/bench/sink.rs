//! What is the cheapest target? One that answers 204 to whatever comes, and counts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::load::message_end;

/// A target on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    count: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Sink {
    /// Starts it on the current runtime.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (count, stop) = (Arc::<AtomicU64>::default(), CancellationToken::new());
        let (counted, stopped) = (count.clone(), stop.clone());
        tokio::spawn(async move {
            while let Some(accepted) = stopped.run_until_cancelled(listener.accept()).await {
                let Ok((stream, _)) = accepted else { continue };
                let (counted, stopped) = (counted.clone(), stopped.clone());
                tokio::spawn(
                    async move { stopped.run_until_cancelled(serve(stream, &counted)).await },
                );
            }
        });
        Self {
            address,
            count,
            _stop: stop.drop_guard(),
        }
    }

    /// How many requests came in whole.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, count: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        while let Some(end) = message_end(&bytes) {
            bytes.drain(..end);
            count.fetch_add(1, Ordering::Relaxed);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}
