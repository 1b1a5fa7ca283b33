//! Connections of a client that means harm: it reads no answer, or sends as slowly as it can.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Between two bytes of a slow sender.
const DRIP: Duration = Duration::from_millis(200);

/// The receive buffer of a client that does not read.
const SMALL_BUFFER: u32 = 4 * 1024;

/// Requests that are sent at once.
const BATCH: usize = 200;

/// What the connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostileKind {
    /// They send requests over and over, and read no answer.
    UnreadAnswers,
    /// They send requests over and over, and read the answers.
    PipelinedFlood,
    /// After an answered request, they send the next head byte by byte.
    DrippedHead,
    /// They send a body byte by byte.
    DrippedBody,
    /// They send a body chunk by chunk to a path that answers before it has arrived.
    DrippedChunks,
    /// After an answered request, they do nothing.
    Idle,
}

impl HostileKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::UnreadAnswers,
        Self::PipelinedFlood,
        Self::DrippedHead,
        Self::DrippedBody,
        Self::DrippedChunks,
        Self::Idle,
    ];

    /// In words, for a table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnreadAnswers => "unread answers",
            Self::PipelinedFlood => "pipelined flood",
            Self::DrippedHead => "dripped head",
            Self::DrippedBody => "dripped body",
            Self::DrippedChunks => "dripped chunks after an answer",
            Self::Idle => "idle",
        }
    }
}

/// Open hostile connections; closed when dropped.
#[derive(Debug)]
pub struct HostileConnections {
    open: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl HostileConnections {
    /// Opens so many connections, which ask for this path.
    ///
    /// # Panics
    /// When one cannot be opened.
    pub async fn open(kind: HostileKind, address: SocketAddr, path: &str, count: usize) -> Self {
        let (open, mut tasks) = (Arc::new(AtomicUsize::new(count)), JoinSet::new());
        for _ in 0..count {
            let socket = TcpSocket::new_v4().expect("a socket");
            if kind == HostileKind::UnreadAnswers {
                socket
                    .set_recv_buffer_size(SMALL_BUFFER)
                    .expect("a small buffer");
            }
            let stream = socket.connect(address).await.expect("a connection");
            let (open, path) = (Arc::clone(&open), path.to_owned());
            tasks.spawn(async move {
                // The other side ends it, in whatever way.
                let _ = harm(kind, stream, &path).await;
                open.fetch_sub(1, Ordering::AcqRel);
            });
        }
        Self {
            open,
            _tasks: tasks,
        }
    }

    /// How many are not closed by the other side yet.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

async fn harm(kind: HostileKind, mut stream: TcpStream, path: &str) -> io::Result<()> {
    let get = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let post =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
    match kind {
        HostileKind::UnreadAnswers => loop {
            stream.write_all(get.repeat(BATCH).as_bytes()).await?;
        },
        HostileKind::PipelinedFlood => {
            let (mut read, mut write) = stream.split();
            let mut buffer = vec![0; 16 * 1024];
            let requests = get.repeat(BATCH);
            tokio::select! {
                ended = async { loop { write.write_all(requests.as_bytes()).await?; } } => ended,
                ended = async {
                    while read.read(&mut buffer).await? > 0 {}
                    Ok(())
                } => ended,
            }
        }
        HostileKind::DrippedHead => {
            stream.write_all(get.as_bytes()).await?;
            drip(stream, get.as_bytes()).await
        }
        HostileKind::DrippedBody => {
            stream
                .write_all(format!("{post}content-length: 10000\r\n\r\n").as_bytes())
                .await?;
            drip(stream, &[b' '; 10_000]).await
        }
        HostileKind::DrippedChunks => {
            stream
                .write_all(format!("{post}transfer-encoding: chunked\r\n\r\n").as_bytes())
                .await?;
            drip(stream, "1\r\nx\r\n".repeat(1_000).as_bytes()).await
        }
        HostileKind::Idle => {
            stream.write_all(get.as_bytes()).await?;
            drip(stream, &[]).await
        }
    }
}

/// Sends byte by byte and reads what arrives, until the other side closes the connection.
async fn drip(mut stream: TcpStream, bytes: &[u8]) -> io::Result<()> {
    let (mut bytes, mut buffer) = (bytes.iter(), [0; 1024]);
    loop {
        match timeout(DRIP, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => sleep(Duration::from_millis(1)).await,
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                if let Some(byte) = bytes.next() {
                    stream.write_all(&[*byte]).await?;
                }
            }
        }
    }
}
