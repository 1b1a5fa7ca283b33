//! Load on the ingress alone, cheap enough to leave the machine to the product.
//!
//! Plain sockets with the same bytes again and again. [`closed`] finds the highest rate: each
//! connection sends its next callback when the last one is answered. Its times would flatter the
//! product, since a slow one is asked less often, so times come from [`open`]: callbacks are due at
//! fixed times, and each time counts from the due time, whenever the callback was sent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tests::targets::message_end;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::figures::Times;

/// How many callbacks were answered as expected, and in what time.
#[derive(Debug)]
pub(crate) struct Answered {
    /// How many.
    pub(crate) count: u64,
    /// From the first request to the last answer.
    pub(crate) time: Duration,
}

/// A callback to `target` that is not attempted before `delay_seconds`.
pub(crate) fn callback(target: SocketAddr, delay_seconds: u32) -> String {
    let text = "x".repeat(280);
    format!(
        r#"{{"callback_url":"http://{target}/","app_id":"bench","message_type":"bench","request_message":{{"text":"{text}"}},"options":{{"delay_seconds":{delay_seconds}}}}}"#
    )
}

pub(crate) fn request(ingress: SocketAddr, body: &str) -> Arc<[u8]> {
    let length = body.len();
    let request = format!(
        "POST /api/callback HTTP/1.1\r\nhost: {ingress}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    request.into_bytes().into()
}

/// The most callbacks that these connections get accepted in `time`.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn closed(
    ingress: SocketAddr,
    body: &str,
    connections: usize,
    time: Duration,
) -> Answered {
    answered(ingress, body, br#""code":"000""#, connections, time).await
}

/// The same for callbacks without their `app_id`: everything but the disk, for a 400.
///
/// # Panics
/// When one is answered otherwise.
pub(crate) async fn refused(
    ingress: SocketAddr,
    body: &str,
    connections: usize,
    time: Duration,
) -> Answered {
    let body = body.replace("app_id", "app_no");
    answered(ingress, &body, br#""code":"400""#, connections, time).await
}

async fn answered(
    ingress: SocketAddr,
    body: &str,
    code: &'static [u8],
    connections: usize,
    time: Duration,
) -> Answered {
    let request = request(ingress, body);
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let request = request.clone();
        tasks.spawn(async move {
            let (mut connection, mut count) = (Connection::to(ingress).await?, 0);
            while begun.elapsed() < time {
                connection.expect_code(&request, code).await?;
                count += 1;
            }
            Ok::<u64, io::Error>(count)
        });
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done.expect("a caller").expect("the expected answer");
    }
    Answered {
        count,
        time: begun.elapsed(),
    }
}

/// The times of callbacks at this rate over these connections.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn open(
    ingress: SocketAddr,
    body: &str,
    connections: usize,
    per_second: f64,
    time: Duration,
) -> Times {
    let (request, next) = (request(ingress, body), Arc::new(AtomicU64::new(0)));
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::to(ingress).await.expect("a connection"));
    }
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for mut connection in opened {
        let (request, next) = (request.clone(), next.clone());
        tasks.spawn(async move {
            let mut times = Times::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let after = Duration::from_secs_f64(number as f64 / per_second);
                if after >= time {
                    return Ok::<_, io::Error>(times);
                }
                let due = begun + after;
                tokio::time::sleep_until(due.into()).await;
                let code = br#""code":"000""#;
                connection.expect_code(&request, code).await?;
                times.record(due.elapsed());
            }
        });
    }
    let mut times = Times::default();
    while let Some(done) = tasks.join_next().await {
        times.merge(&done.expect("a caller").expect("accepted callbacks"));
    }
    times
}

/// The times of one callback after the other over one connection.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn closed_times(ingress: SocketAddr, body: &str, time: Duration) -> Times {
    answered_times(ingress, body, br#""code":"000""#, time).await
}

/// The same for callbacks as in [`refused`].
///
/// # Panics
/// When one is answered otherwise.
pub(crate) async fn refused_times(ingress: SocketAddr, body: &str, time: Duration) -> Times {
    let body = body.replace("app_id", "app_no");
    answered_times(ingress, &body, br#""code":"400""#, time).await
}

async fn answered_times(ingress: SocketAddr, body: &str, code: &[u8], time: Duration) -> Times {
    let request = request(ingress, body);
    let mut connection = Connection::to(ingress).await.expect("a connection");
    let (begun, mut times) = (Instant::now(), Times::default());
    while begun.elapsed() < time {
        let sent = Instant::now();
        let answered = connection.expect_code(&request, code).await;
        answered.expect("the expected answer");
        times.record(sent.elapsed());
    }
    times
}

/// A persistent connection.
pub(crate) struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Connection {
    pub(crate) async fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let bytes = Vec::with_capacity(1_024);
        Ok(Self { stream, bytes })
    }

    /// Sends a request and reads its answer, which must contain this code.
    pub(crate) async fn expect_code(&mut self, request: &[u8], code: &[u8]) -> io::Result<()> {
        let answer = self.exchange(request).await?;
        if find(answer, code).is_none() {
            let answer = String::from_utf8_lossy(answer).into_owned();
            return Err(io::Error::other(answer));
        }
        Ok(())
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<&[u8]> {
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

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
