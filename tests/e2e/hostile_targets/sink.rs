//! How does a target attack whoever calls it?

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What it answers to every request.
#[derive(Debug, Clone)]
pub(crate) enum Attack {
    /// These bytes, then it closes.
    Says(Vec<u8>),
    /// The first once, the second without end.
    Floods(Vec<u8>, Vec<u8>),
    /// The first at once, the second over and over, so many bytes every 100 ms.
    Drips(Vec<u8>, Vec<u8>, usize),
    /// These bytes, then it resets the connection.
    Resets(Vec<u8>),
}

/// A target that attacks, until dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    open: AtomicU64,
    most_sent: AtomicU64,
}

impl Sink {
    pub(crate) async fn start(attack: impl FnOnce(SocketAddr) -> Attack) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let attack = Arc::new(attack(address));
        let counts = Arc::<Counts>::default();
        let stop = CancellationToken::new();
        let (ours, stopped) = (counts.clone(), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (counts, attack) = (ours.clone(), attack.clone());
                counts.open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(stopped.clone().run_until_cancelled_owned(async move {
                    let mut sent = 0;
                    // That whom it attacks leaves is how most of these end.
                    let _left = answer(stream, &attack, &counts, &mut sent).await;
                    counts.most_sent.fetch_max(sent, Ordering::SeqCst);
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                }));
            }
        }));
        Self {
            address,
            counts,
            _stop: stop.drop_guard(),
        }
    }

    /// How many requests it got.
    pub(crate) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> u64 {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// The most bytes that anybody took in one answer, and the kernels' buffers.
    pub(crate) fn most_sent(&self) -> u64 {
        self.counts.most_sent.load(Ordering::SeqCst)
    }
}

async fn answer(
    mut stream: TcpStream,
    attack: &Attack,
    counts: &Counts,
    sent: &mut u64,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    counts.requests.fetch_add(1, Ordering::SeqCst);
    match attack {
        Attack::Says(bytes) => {
            stream.write_all(bytes).await?;
            // What is closed with bytes unread is reset, and that is another attack.
            stream.shutdown().await?;
            io::copy(&mut stream, &mut io::sink()).await?;
        }
        Attack::Floods(first, then) => {
            stream.write_all(first).await?;
            let piece = then.repeat(16 * 1024 / then.len() + 1);
            loop {
                stream.write_all(&piece).await?;
                *sent += piece.len() as u64;
                tokio::task::yield_now().await;
            }
        }
        Attack::Drips(first, then, bytes) => {
            stream.write_all(first).await?;
            for piece in then.chunks(*bytes).cycle() {
                stream.write_all(piece).await?;
                *sent += piece.len() as u64;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Attack::Resets(bytes) => {
            stream.write_all(bytes).await?;
            // A client that reads slowly would lose these bytes as well: a reset overtakes them.
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.set_zero_linger()?;
        }
    }
    Ok(())
}

/// 15 MiB of zeros in 15 kB, which would be let in by its size.
pub(super) fn gzip_bomb() -> Vec<u8> {
    const BEGIN: &[u8] =
        b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x08\x5f\xa0";
    const END: &[u8] = b"\x3e\x03\x1c\xea\x38\xa7\0\0\x10\0";
    /// A member of a MiB is so long; members may follow one another (RFC 1952, 2.2).
    const MEMBER: usize = 1_051;
    let mut member = BEGIN.to_vec();
    member.resize(MEMBER - END.len(), 0);
    member.extend_from_slice(END);
    member.repeat(15)
}
