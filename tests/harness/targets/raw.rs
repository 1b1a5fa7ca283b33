//! Scripts of bytes, for targets that break HTTP or attack the client.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::target::{TestTargetState, lock};

/// A reset overtakes bytes that the client has not read yet, so it has to be late.
const RESET_DELAY: Duration = Duration::from_millis(50);
/// How much a flood writes at a time.
const FLOOD_BYTES: usize = 16 * 1024;

/// One step of a raw script. After the last one the connection is closed.
#[derive(Debug, Clone)]
pub enum Step {
    /// Waits for a request's head; the connection ends if the client leaves before.
    WaitForHead,
    /// Waits for any bytes.
    WaitForBytes,
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes these bytes over and over, as fast as they are read.
    Flood(Vec<u8>),
    /// Writes these bytes in pieces of this size, with a pause after each.
    Drip(Vec<u8>, usize, Duration),
    /// The same over and over.
    DripForever(Vec<u8>, usize, Duration),
    /// Closes our half, and reads until the client has closed its own: a socket that is closed with
    /// unread bytes sends a reset instead.
    Close,
    /// Resets the connection (RST).
    Reset,
    /// Reads until the client leaves.
    Read,
}

impl Step {
    /// Answers a request with these bytes, and closes in an orderly way.
    pub fn answer(bytes: impl Into<Vec<u8>>) -> Vec<Self> {
        vec![Self::WaitForHead, Self::Write(bytes.into()), Self::Close]
    }

    /// Answers a request with these bytes, and resets the connection.
    pub fn answer_and_reset(bytes: impl Into<Vec<u8>>) -> Vec<Self> {
        vec![Self::WaitForHead, Self::Write(bytes.into()), Self::Reset]
    }

    /// Answers a request with the first bytes once, and the second ones without end.
    pub fn flood(first: impl Into<Vec<u8>>, then: impl Into<Vec<u8>>) -> Vec<Self> {
        vec![
            Self::WaitForHead,
            Self::Write(first.into()),
            Self::Flood(then.into()),
        ]
    }

    /// Answers the first bytes of a connection with these, whatever they are: a server of another
    /// protocol.
    pub fn other_protocol(bytes: impl Into<Vec<u8>>) -> Vec<Self> {
        vec![Self::WaitForBytes, Self::Write(bytes.into()), Self::Close]
    }
}

pub(super) async fn serve(
    stream: TcpStream,
    state: &Arc<TestTargetState>,
    steps: &[Step],
) -> io::Result<()> {
    let connection = {
        let mut received = lock(&state.received);
        received.push(Vec::new());
        received.len() - 1
    };
    let mut player = Player {
        stream,
        state,
        connection,
        sent: 0,
    };
    let ended = player.play(steps).await;
    let max = &state.counters.max_sent_bytes;
    max.fetch_max(player.sent, Ordering::SeqCst);
    ended
}

struct Player<'a> {
    stream: TcpStream,
    state: &'a TestTargetState,
    connection: usize,
    sent: u64,
}

impl Player<'_> {
    async fn play(&mut self, steps: &[Step]) -> io::Result<()> {
        for step in steps {
            match step {
                Step::WaitForHead => {
                    while !self.has_head() {
                        if self.read().await? == 0 {
                            return Ok(());
                        }
                    }
                    let requests = &self.state.counters.requests;
                    requests.fetch_add(1, Ordering::SeqCst);
                }
                Step::WaitForBytes => {
                    if self.read().await? == 0 {
                        return Ok(());
                    }
                }
                Step::Write(bytes) => self.write(bytes).await?,
                Step::Flood(bytes) => {
                    let piece = bytes.repeat(FLOOD_BYTES / bytes.len() + 1);
                    loop {
                        self.write(&piece).await?;
                        tokio::task::yield_now().await;
                    }
                }
                Step::Drip(bytes, count, pause) => self.drip(bytes, *count, *pause).await?,
                Step::DripForever(bytes, count, pause) => loop {
                    self.drip(bytes, *count, *pause).await?;
                },
                Step::Close => {
                    self.stream.shutdown().await?;
                    while self.read().await? > 0 {}
                }
                Step::Reset => {
                    if self.sent > 0 {
                        tokio::time::sleep(RESET_DELAY).await;
                    }
                    self.stream.set_zero_linger()?;
                    return Ok(());
                }
                Step::Read => while self.read().await? > 0 {},
            }
        }
        Ok(())
    }

    async fn drip(&mut self, bytes: &[u8], count: usize, pause: Duration) -> io::Result<()> {
        for piece in bytes.chunks(count) {
            self.write(piece).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn read(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).await?;
        let counter = &self.state.counters.received_bytes;
        counter.fetch_add(count as u64, Ordering::SeqCst);
        lock(&self.state.received)[self.connection].extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn has_head(&self) -> bool {
        let received = &lock(&self.state.received)[self.connection];
        received.windows(4).any(|end| end == b"\r\n\r\n")
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.sent += bytes.len() as u64;
        let counter = &self.state.counters.sent_bytes;
        counter.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}
