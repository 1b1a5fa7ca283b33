//! What does a target look like that notes when each callback came, and misbehaves on demand?

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bench::load::message_end;

/// How a target behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Answers 204 at once.
    Well,
    /// Reads and never answers.
    Hangs,
    /// Takes no connection.
    Refuses,
    /// Answers 500.
    Fails,
    /// Answers at a byte a second.
    Drips,
    /// Answers 429 with `Retry-After: 5`.
    AsksToWait,
}

impl Mood {
    /// Every way to be bad.
    pub const BAD: [Self; 5] = [
        Self::Hangs,
        Self::Refuses,
        Self::Fails,
        Self::Drips,
        Self::AsksToWait,
    ];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Well => "all well",
            Self::Hangs => "one hangs",
            Self::Refuses => "one refuses",
            Self::Fails => "one answers 500",
            Self::Drips => "one drips",
            Self::AsksToWait => "one answers 429",
        }
    }

    fn answer(self) -> &'static [u8] {
        match self {
            Self::Fails => b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n",
            Self::AsksToWait => b"HTTP/1.1 429 Slow\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n",
            _ => b"HTTP/1.1 204 No Content\r\n\r\n",
        }
    }
}

/// Numbers that came in, and when.
pub type Came = Vec<(usize, Instant)>;

/// A target on a port of its own, until dropped.
#[derive(Debug)]
pub struct Target {
    /// Where it is.
    pub address: SocketAddr,
    came: Arc<Mutex<Came>>,
    /// Bound and not listening: it refuses, and nobody else gets the port.
    shut: Option<TcpSocket>,
    mood: Mood,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Target {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(mood: Mood) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(any).expect("a free port");
        let stop = CancellationToken::new();
        let mut target = Self {
            address: socket.local_addr().expect("an address"),
            came: Arc::default(),
            shut: Some(socket),
            mood,
            _guard: stop.clone().drop_guard(),
            stop,
        };
        if mood != Mood::Refuses {
            target.open();
        }
        target
    }

    /// Takes connections from now on.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn open(&mut self) {
        let Some(socket) = self.shut.take() else {
            return;
        };
        let listener = socket.listen(1_024).expect("a listener");
        let (came, mood, stop) = (self.came.clone(), self.mood, self.stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(serve(listener, mood, came, &stop))
                .await
        });
    }

    /// What came in whole so far.
    pub fn came(&self) -> Came {
        self.came
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many requests that is.
    pub fn count(&self) -> usize {
        self.came
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

async fn serve(
    listener: TcpListener,
    mood: Mood,
    came: Arc<Mutex<Came>>,
    stop: &CancellationToken,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (came, stop) = (came.clone(), stop.clone());
        tokio::spawn(async move {
            // That the gateway leaves is how most of these end.
            stop.run_until_cancelled(answer(stream, mood, &came)).await
        });
    }
}

async fn answer(mut stream: TcpStream, mood: Mood, came: &Mutex<Came>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        while let Some(end) = message_end(&bytes) {
            let number = number(&bytes[..end]);
            bytes.drain(..end);
            came.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((number, Instant::now()));
            match mood {
                Mood::Hangs => std::future::pending().await,
                Mood::Drips => {
                    for byte in mood.answer() {
                        stream.write_all(&[*byte]).await?;
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
                _ => stream.write_all(mood.answer()).await?,
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

/// The number in a callback's body; see [`super::body`].
fn number(message: &[u8]) -> usize {
    const BEFORE: &[u8] = b"\"number\":";
    let place = message.windows(BEFORE.len()).position(|it| it == BEFORE);
    let digits = place.map_or(&[][..], |place| &message[place + BEFORE.len()..]);
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}
