//! Load on a whole gateway: a bounded number of outstanding callbacks, or callbacks at fixed times.
//!
//! [`saturate`] keeps a number of callbacks outstanding, posted and not yet delivered. That gives
//! the sustained throughput, because no backlog can grow. [`paced`] sends at fixed times, whatever
//! becomes of them. Times count from the due time, so a slow answer does not hide a slower one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::due_time;
use super::figures::Times;
use super::load::{Connection, find};
use super::sink::Sink;

const ACCEPTED: &[u8] = br#""code":"000""#;

/// Requests with callbacks to some targets, in turn.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    ingress: SocketAddr,
    templates: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicU64>,
}

/// What became of callbacks that were sent at fixed times.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    /// From the due time to the `000`.
    pub(crate) accepted: Times,
    /// From the due time to any other answer.
    pub(crate) refused: Times,
    /// From the request's first byte to any other answer.
    pub(crate) refusing: Times,
    /// How many refusals had a `Retry-After`.
    pub(crate) with_retry_after: u64,
    /// Connections that broke.
    pub(crate) broken: u64,
}

impl Flow {
    /// Callbacks to these targets, with these options (JSON).
    pub(crate) fn new(ingress: SocketAddr, targets: &[SocketAddr], options: &str) -> Self {
        let text = "x".repeat(250);
        let blank = due_time::BLANK;
        let templates = targets.iter().map(|target| {
            let body = format!(
                r#"{{"callback_url":"http://{target}/","app_id":"bench","message_type":"bench","request_message":{{"due":"{blank}","text":"{text}"}},"options":{options}}}"#
            );
            let length = body.len();
            format!(
                "POST /api/callback HTTP/1.1\r\nhost: {ingress}\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n{body}"
            )
            .into_bytes()
        });
        Self {
            ingress,
            templates: Arc::new(templates.collect()),
            next: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Where the callbacks are sent.
    pub(crate) const fn ingress(&self) -> SocketAddr {
        self.ingress
    }

    /// The next request, due now.
    pub(crate) fn request(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_next(&mut bytes, Instant::now());
        bytes
    }

    fn write_next(&self, bytes: &mut Vec<u8>, due: Instant) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let count = u64::try_from(self.templates.len()).expect("few");
        let template = &self.templates[usize::try_from(number % count).expect("few")];
        bytes.clear();
        bytes.extend_from_slice(template);
        let position = due_time::position(bytes).expect("the template has one");
        due_time::set(bytes, position, due);
    }
}

/// Keeps `outstanding` callbacks outstanding for `time`; returns how many were delivered.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn saturate(
    flow: &Flow,
    sink: &Sink,
    connections: usize,
    outstanding: u64,
    time: Duration,
) -> u64 {
    let (posted, before) = (Arc::new(AtomicU64::new(0)), sink.count());
    let begun = Instant::now();
    let callers = (0..connections).map(|_| {
        let (flow, posted) = (flow.clone(), posted.clone());
        async move {
            let mut connection = Connection::to(flow.ingress).await?;
            let mut bytes = Vec::new();
            while begun.elapsed() < time {
                let all = posted.load(Ordering::Relaxed) + before;
                if all.saturating_sub(sink.count()) >= outstanding {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                posted.fetch_add(1, Ordering::Relaxed);
                flow.write_next(&mut bytes, Instant::now());
                let answer = connection.exchange(&bytes).await?;
                if find(answer, ACCEPTED).is_none() {
                    return Err(io::Error::other(
                        String::from_utf8_lossy(answer).into_owned(),
                    ));
                }
            }
            Ok::<_, io::Error>(())
        }
    });
    let callers = futures_util::future::try_join_all(callers);
    let counted = async {
        tokio::time::sleep_until((begun + time).into()).await;
        sink.count() - before
    };
    let (delivered, done) = tokio::join!(counted, callers);
    done.expect("accepted callbacks");
    delivered
}

/// Sends `per_second` callbacks over these connections for `time`.
///
/// # Panics
/// When a connection cannot be opened at first.
pub(crate) async fn paced(
    flow: &Flow,
    connections: usize,
    per_second: f64,
    time: Duration,
) -> Paced {
    let (next, mut tasks) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        let connection = Connection::to(flow.ingress).await;
        opened.push(connection.expect("a connection"));
    }
    let begun = Instant::now();
    for mut connection in opened {
        let (flow, next) = (flow.clone(), next.clone());
        tasks.spawn(async move {
            let (mut paced, mut bytes) = (Paced::default(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let after = Duration::from_secs_f64(number as f64 / per_second);
                if after >= time {
                    return paced;
                }
                let due = begun + after;
                tokio::time::sleep_until(due.into()).await;
                let sent = Instant::now();
                flow.write_next(&mut bytes, due);
                match connection.exchange(&bytes).await {
                    Ok(answer) if find(answer, ACCEPTED).is_some() => {
                        paced.accepted.record(due.elapsed());
                    }
                    Ok(answer) => {
                        let retry_after = find(answer, b"retry-after:").is_some();
                        paced.with_retry_after += u64::from(retry_after);
                        paced.refused.record(due.elapsed());
                        paced.refusing.record(sent.elapsed());
                    }
                    Err(_) => {
                        paced.broken += 1;
                        match Connection::to(flow.ingress).await {
                            Ok(new) => connection = new,
                            Err(_) => return paced,
                        }
                    }
                }
            }
        });
    }
    let mut all = Paced::default();
    while let Some(done) = tasks.join_next().await {
        let one = done.expect("a caller");
        all.accepted.merge(&one.accepted);
        all.refused.merge(&one.refused);
        all.refusing.merge(&one.refusing);
        all.with_retry_after += one.with_retry_after;
        all.broken += one.broken;
    }
    all
}
