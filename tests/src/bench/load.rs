//! How is the door in loaded, cheaply enough to leave the machine to the product?
//!
//! Plain sockets with the same bytes again and again. [`closed`] finds the most that the product
//! takes: each connection sends its next callback when the last is answered. Its times would
//! flatter the product (who is slow is asked less often), so times come from [`open`]: callbacks
//! are due at fixed moments, and each one's time counts from its due moment, whenever it was sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What was accepted, and when.
#[derive(Debug)]
pub struct Taken {
    /// Callers told what was expected: `000`.
    pub accepted: u64,
    /// From the first request to the last answer.
    pub time: Duration,
}

/// A callback to `target` that is not attempted before `delay_seconds`.
pub fn callback(target: SocketAddr, delay_seconds: u32) -> String {
    let text = "x".repeat(280);
    format!(
        r#"{{"callback_url":"http://{target}/","app_id":"bench","message_type":"bench","request_message":{{"text":"{text}"}},"options":{{"delay_seconds":{delay_seconds}}}}}"#
    )
}

pub(super) fn request(ingress: SocketAddr, body: &str) -> Arc<[u8]> {
    let length = body.len();
    let request = format!(
        "POST /api/callback HTTP/1.1\r\nhost: {ingress}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    request.into_bytes().into()
}

/// The most that so many connections get accepted in `time`.
///
/// # Panics
/// When a callback is not accepted.
pub async fn closed(ingress: SocketAddr, body: &str, connections: usize, time: Duration) -> Taken {
    answered(ingress, body, br#""code":"000""#, connections, time).await
}

/// The same for callbacks that lack their `app_id`: all of the way but the disk, for a 400.
///
/// # Panics
/// When one is answered otherwise.
pub async fn refused(ingress: SocketAddr, body: &str, connections: usize, time: Duration) -> Taken {
    let body = body.replace("app_id", "app_no");
    answered(ingress, &body, br#""code":"400""#, connections, time).await
}

async fn answered(
    ingress: SocketAddr,
    body: &str,
    code: &'static [u8],
    connections: usize,
    time: Duration,
) -> Taken {
    let request = request(ingress, body);
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let request = request.clone();
        tasks.spawn(async move {
            let (mut line, mut accepted) = (Line::to(ingress).await?, 0);
            while begun.elapsed() < time {
                line.exchange(&request, code).await?;
                accepted += 1;
            }
            Ok::<u64, io::Error>(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(done) = tasks.join_next().await {
        accepted += done.expect("a caller").expect("an accepted callback");
    }
    Taken {
        accepted,
        time: begun.elapsed(),
    }
}

/// The time of each callback at so many a second over so many connections, sorted.
///
/// # Panics
/// When a callback is not accepted.
pub async fn open(
    ingress: SocketAddr,
    body: &str,
    connections: usize,
    a_second: f64,
    time: Duration,
) -> Vec<Duration> {
    let (request, next) = (request(ingress, body), Arc::new(AtomicU64::new(0)));
    let mut lines = Vec::new();
    for _ in 0..connections {
        lines.push(Line::to(ingress).await.expect("a connection"));
    }
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for mut line in lines {
        let (request, next) = (request.clone(), next.clone());
        tasks.spawn(async move {
            let mut times = Vec::new();
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let after = Duration::from_secs_f64(turn as f64 / a_second);
                if after >= time {
                    return Ok::<_, io::Error>(times);
                }
                let due = begun + after;
                tokio::time::sleep_until(due.into()).await;
                line.exchange(&request, br#""code":"000""#).await?;
                times.push(due.elapsed());
            }
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done.expect("a caller").expect("accepted callbacks"));
    }
    times.sort();
    times
}

/// How long each of one callback after the other takes over one connection.
///
/// # Panics
/// When a callback is not accepted.
pub async fn closed_times(ingress: SocketAddr, body: &str, time: Duration) -> Vec<Duration> {
    answered_times(ingress, body, br#""code":"000""#, time).await
}

/// The same for callbacks as in [`refused`].
///
/// # Panics
/// When one is answered otherwise.
pub async fn refused_times(ingress: SocketAddr, body: &str, time: Duration) -> Vec<Duration> {
    let body = body.replace("app_id", "app_no");
    answered_times(ingress, &body, br#""code":"400""#, time).await
}

async fn answered_times(
    ingress: SocketAddr,
    body: &str,
    code: &[u8],
    time: Duration,
) -> Vec<Duration> {
    let request = request(ingress, body);
    let mut line = Line::to(ingress).await.expect("a connection");
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let sent = Instant::now();
        let exchanged = line.exchange(&request, code).await;
        exchanged.expect("the answer looked for");
        times.push(sent.elapsed());
    }
    times
}

/// A connection that is kept.
pub(super) struct Line {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Line {
    pub(super) async fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let bytes = Vec::with_capacity(1_024);
        Ok(Self { stream, bytes })
    }

    /// Sends a request and reads its answer, which must have this code.
    pub(super) async fn exchange(&mut self, request: &[u8], code: &[u8]) -> io::Result<()> {
        let answer = self.ask(request).await?;
        if find(answer, code).is_none() {
            let answer = String::from_utf8_lossy(answer).into_owned();
            return Err(io::Error::other(answer));
        }
        Ok(())
    }

    /// Sends a request and reads its answer, whatever it is.
    pub(super) async fn ask(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.bytes.clear();
        while message_end(&self.bytes).is_none() {
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(&self.bytes)
    }
}

/// Where the first HTTP/1.1 message in `bytes` ends, once it is whole; its length must be told.
pub(super) fn message_end(bytes: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"\r\ncontent-length: ";
    let head = find(bytes, b"\r\n\r\n")?;
    let length = find(&bytes[..head], LENGTH).map_or(0, |place| {
        let digits = bytes[place + LENGTH.len()..].iter();
        let digits = digits.take_while(|digit| digit.is_ascii_digit());
        digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
    });
    let end = head + 4 + length;
    (bytes.len() >= end).then_some(end)
}

pub(super) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_length_says() {
        for (bytes, end) in [
            (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], Some(27)),
            (b"A\r\ncontent-length: 2\r\n\r\nok", Some(26)),
            (b"A\r\ncontent-length: 2\r\n\r\nokmore", Some(26)),
            (b"A\r\ncontent-length: 12\r\n\r\nok", None),
            (b"A\r\ncontent-length: 2\r\n", None),
        ] {
            assert_eq!(message_end(bytes), end);
        }
    }
}
