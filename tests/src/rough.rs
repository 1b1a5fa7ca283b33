//! What does a target look like that breaks HTTP itself?
//!
//! The practice callee answers properly, whatever it answers. This one does not.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How the target misbehaves, on every connection, once it has read a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Resets the connection (RST) without a byte.
    ResetBeforeHead,
    /// Sends a head that promises a body, then resets the connection.
    ResetAfterHead,
    /// Sends bytes that are no HTTP, then closes.
    Garbage,
    /// Sends a proper answer at one byte per 300 ms.
    Drip,
    /// Answers 200 with a body that never ends.
    InfiniteBody,
    /// Promises 1,000 bytes, sends 10 and closes in an orderly way.
    CloseMidBody,
    /// Answers 200 with 8 MiB of headers.
    HugeHeaders,
}

/// A target that misbehaves on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Rough {
    address: SocketAddr,
    counts: Arc<Counts>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
    sent: AtomicU64,
}

impl Rough {
    /// Starts it on the current runtime.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::<Counts>::default();
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, mode, counts.clone(), stop.clone()));
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

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/rough", self.address)
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many request heads it has read.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// How many bytes it has written, all connections together.
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, mode: Mode, counts: Arc<Counts>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        counts.connections.fetch_add(1, Ordering::SeqCst);
        counts.open.fetch_add(1, Ordering::SeqCst);
        let (counts, stop) = (counts.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                // That the client leaves is how most of these end.
                _left = misbehave(stream, mode, &counts) => {}
                () = stop.cancelled() => {}
            }
            counts.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn misbehave(mut stream: TcpStream, mode: Mode, counts: &Counts) -> io::Result<()> {
    read_head(&mut stream).await?;
    counts.requests.fetch_add(1, Ordering::SeqCst);
    let mut writer = Counted {
        stream: &mut stream,
        counts,
    };
    match mode {
        Mode::ResetBeforeHead => stream.set_zero_linger()?,
        Mode::ResetAfterHead => {
            writer
                .write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                .await?;
            // A client that reads slowly would lose the head as well: a reset overtakes it.
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.set_zero_linger()?;
        }
        Mode::Garbage => {
            writer
                .write(b"\x00\xff\x16\x03 what do you want?\r\n\r\n")
                .await?;
        }
        Mode::Drip => {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" {
                writer.write(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        Mode::InfiniteBody => {
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                writer.write(&[b'x'; 16 * 1024]).await?;
            }
        }
        Mode::CloseMidBody => {
            writer
                .write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789")
                .await?;
            finish(stream).await?;
        }
        Mode::HugeHeaders => {
            writer.write(b"HTTP/1.1 200 OK\r\n").await?;
            let line = format!("x-huge: {}\r\n", "x".repeat(8 * 1024));
            for _ in 0..1024 {
                writer.write(line.as_bytes()).await?;
            }
            writer.write(b"content-length: 0\r\n\r\n").await?;
        }
    }
    Ok(())
}

/// Closes our half first and reads the rest: a socket closed with unread bytes sends a reset.
async fn finish(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    io::copy(&mut stream, &mut io::sink()).await?;
    Ok(())
}

async fn read_head(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

struct Counted<'a> {
    stream: &'a mut TcpStream,
    counts: &'a Counts,
}

impl Counted<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.counts
            .sent
            .fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}
