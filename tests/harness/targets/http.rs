//! Scripts of HTTP answers, and the requests that a target has received.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::target::{Gauge, Observer, TestTargetState, lock};

/// One scripted answer.
#[derive(Debug, Clone)]
pub struct ScriptedReply {
    status: Option<u16>,
    headers: String,
    body: &'static str,
    delay: Duration,
    byte_interval: Option<Duration>,
}

impl ScriptedReply {
    /// Answers with this status at once, with the body `{}`.
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            headers: String::new(),
            body: if status == 204 { "" } else { "{}" },
            delay: Duration::ZERO,
            byte_interval: None,
        }
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self {
            status: None,
            ..Self::status(200)
        }
    }

    /// The same after this delay.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    /// The same, sent one byte at a time.
    #[must_use]
    pub fn dripping(mut self, interval: Duration) -> Self {
        self.byte_interval = Some(interval);
        self
    }

    fn bytes(&self, status: u16) -> Vec<u8> {
        let Self { headers, body, .. } = self;
        // RFC 9110, 8.6: no length in a 204.
        let length = match status {
            204 => String::new(),
            _ => format!("content-length: {}\r\n", body.len()),
        };
        format!("HTTP/1.1 {status} -\r\n{headers}{length}\r\n{body}").into_bytes()
    }
}

/// Answers in turn; the last one stays. Some paths have an answer of their own.
#[derive(Debug, Clone, Default)]
pub struct Script {
    replies: VecDeque<ScriptedReply>,
    by_path: BTreeMap<&'static str, ScriptedReply>,
}

impl From<Vec<ScriptedReply>> for Script {
    fn from(replies: Vec<ScriptedReply>) -> Self {
        Self {
            replies: replies.into(),
            by_path: BTreeMap::new(),
        }
    }
}

impl From<ScriptedReply> for Script {
    fn from(reply: ScriptedReply) -> Self {
        Self::from(vec![reply])
    }
}

impl Script {
    /// The same with an answer for one path.
    #[must_use]
    pub fn at(mut self, path: &'static str, reply: ScriptedReply) -> Self {
        self.by_path.insert(path, reply);
        self
    }

    /// The answer to a request with this head.
    fn next_reply(&mut self, head: &[u8]) -> ScriptedReply {
        let path = head.split(|byte| *byte == b' ').nth(1);
        let path = path.and_then(|path| std::str::from_utf8(path).ok());
        if let Some(reply) = path.and_then(|path| self.by_path.get(path)) {
            return reply.clone();
        }
        match self.replies.len() {
            0 => ScriptedReply::status(200),
            1 => self.replies[0].clone(),
            _ => self.replies.pop_front().unwrap(),
        }
    }
}

/// One request that a target has received.
#[derive(Debug, Clone)]
pub struct CapturedRequest {
    /// When it was complete.
    pub at: Instant,
    /// `webhook-id`.
    pub id: String,
    /// `x-callback-attempt`.
    pub attempt: u32,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The status it was answered with, if it was answered.
    pub status: Option<u16>,
    /// The body it was answered with.
    pub answer_body: &'static str,
}

pub(super) async fn serve(
    mut stream: TcpStream,
    state: &Arc<TestTargetState>,
    observer: Option<&Observer>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(4_096);
    loop {
        while let Some(end) = message_end(&bytes) {
            let reply = lock(&state.script).next_reply(&bytes[..end]);
            match observer {
                Some(observe) => observe(&bytes[..end]),
                None => record(&bytes[..end], &reply, state),
            }
            bytes.drain(..end);
            state.counters.requests.fetch_add(1, Ordering::SeqCst);
            let in_flight = Gauge::raise(state.clone(), |counters| &counters.in_flight);
            let max = &state.counters.max_in_flight;
            max.fetch_max(in_flight.value(), Ordering::SeqCst);
            let Some(status) = reply.status else {
                // Until the client leaves.
                while stream.read(&mut [0; 1024]).await? > 0 {}
                return Ok(());
            };
            if !reply.delay.is_zero() {
                tokio::time::sleep(reply.delay).await;
            }
            // Before the answer is written: the client may send its next request at once.
            drop(in_flight);
            let answer = reply.bytes(status);
            match reply.byte_interval {
                None => stream.write_all(&answer).await?,
                Some(interval) => {
                    for byte in answer {
                        stream.write_all(&[byte]).await?;
                        tokio::time::sleep(interval).await;
                    }
                }
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

fn record(message: &[u8], reply: &ScriptedReply, state: &TestTargetState) {
    let head = String::from_utf8_lossy(message).into_owned();
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    let headers: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let text = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let (id, attempt) = (text("webhook-id"), text("x-callback-attempt"));
    lock(&state.requests).push(CapturedRequest {
        at: Instant::now(),
        id,
        attempt: attempt.parse().unwrap_or_default(),
        headers,
        status: reply.status,
        answer_body: reply.body,
    });
}

/// Where the first HTTP/1.1 message in `bytes` ends, once it is complete. Its length must be given
/// by `content-length`.
pub fn message_end(bytes: &[u8]) -> Option<usize> {
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

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
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
