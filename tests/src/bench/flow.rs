//! How is a whole gateway loaded so that what is under way stays bounded, or comes at fixed moments?
//!
//! [`saturate`] keeps so many callbacks under way, posted and not yet delivered: that is the most
//! that can be sustained, because a backlog cannot grow. [`paced`] sends at fixed moments, whatever
//! becomes of them; times count from the due moment, so a slow answer hides no slower one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::load::{Line, find};
use super::sink::Sink;
use super::stamp;

const ACCEPTED: &[u8] = br#""code":"000""#;

/// The requests of callbacks to some targets, in turn.
#[derive(Debug, Clone)]
pub struct Flow {
    ingress: SocketAddr,
    templates: Arc<Vec<Vec<u8>>>,
    turn: Arc<AtomicU64>,
}

/// What became of callbacks that were sent at fixed moments.
#[derive(Debug, Default)]
pub struct Paced {
    /// From the due moment to the `000`.
    pub accepted: Vec<Duration>,
    /// From the due moment to any other answer.
    pub refused: Vec<Duration>,
    /// From the request's first byte to any other answer.
    pub refusing: Vec<Duration>,
    /// How many refusals had a `Retry-After`.
    pub told_when: u64,
    /// Connections that broke.
    pub broken: u64,
}

impl Flow {
    /// Callbacks to these targets, with these options (JSON).
    pub fn new(ingress: SocketAddr, targets: &[SocketAddr], options: &str) -> Self {
        let text = "x".repeat(250);
        let blank = stamp::BLANK;
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
            turn: Arc::new(AtomicU64::new(0)),
        }
    }

    /// The next request, stamped now.
    pub fn request(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.next(&mut bytes, Instant::now());
        bytes
    }

    /// Puts the next request, stamped, into `bytes`.
    fn next(&self, bytes: &mut Vec<u8>, due: Instant) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = u64::try_from(self.templates.len()).expect("few");
        let template = &self.templates[usize::try_from(turn % count).expect("few")];
        bytes.clear();
        bytes.extend_from_slice(template);
        let place = stamp::place(bytes).expect("ours has one");
        stamp::set(bytes, place, due);
    }
}

/// Keeps `most` callbacks under way for `time`: how many were delivered within it.
///
/// # Panics
/// When a callback is not accepted.
pub async fn saturate(
    flow: &Flow,
    sink: &Sink,
    connections: usize,
    most: u64,
    time: Duration,
) -> u64 {
    let (posted, before) = (Arc::new(AtomicU64::new(0)), sink.count());
    let begun = Instant::now();
    let callers = (0..connections).map(|_| {
        let (flow, posted) = (flow.clone(), posted.clone());
        async move {
            let mut line = Line::to(flow.ingress).await?;
            let mut bytes = Vec::new();
            while begun.elapsed() < time {
                let under_way = posted.load(Ordering::Relaxed) + before;
                if under_way.saturating_sub(sink.count()) >= most {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                posted.fetch_add(1, Ordering::Relaxed);
                flow.next(&mut bytes, Instant::now());
                let answer = line.ask(&bytes).await?;
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

/// Sends `a_second` over so many connections for `time`.
///
/// # Panics
/// When a connection cannot be opened at first.
pub async fn paced(flow: &Flow, connections: usize, a_second: f64, time: Duration) -> Paced {
    let (next, mut tasks) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    let mut lines = Vec::with_capacity(connections);
    for _ in 0..connections {
        lines.push(Line::to(flow.ingress).await.expect("a connection"));
    }
    let begun = Instant::now();
    for mut line in lines {
        let (flow, next) = (flow.clone(), next.clone());
        tasks.spawn(async move {
            let (mut paced, mut bytes) = (Paced::default(), Vec::new());
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let after = Duration::from_secs_f64(turn as f64 / a_second);
                if after >= time {
                    return paced;
                }
                let due = begun + after;
                tokio::time::sleep_until(due.into()).await;
                let sent = Instant::now();
                flow.next(&mut bytes, due);
                match line.ask(&bytes).await {
                    Ok(answer) if find(answer, ACCEPTED).is_some() => {
                        paced.accepted.push(due.elapsed());
                    }
                    Ok(answer) => {
                        paced.told_when += u64::from(find(answer, b"retry-after:").is_some());
                        paced.refused.push(due.elapsed());
                        paced.refusing.push(sent.elapsed());
                    }
                    Err(_) => {
                        paced.broken += 1;
                        match Line::to(flow.ingress).await {
                            Ok(new) => line = new,
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
        all.accepted.extend(one.accepted);
        all.refused.extend(one.refused);
        all.refusing.extend(one.refusing);
        all.told_when += one.told_when;
        all.broken += one.broken;
    }
    all
}

/// The time that so many percent stay within; zero of nothing.
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let place = (last * percent + 50) / 100;
    times.get(place).copied().unwrap_or_default()
}

/// Milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(millis(percentile(&mut times, 50)), 51.0);
        assert_eq!(millis(percentile(&mut times, 99)), 99.0);
        assert_eq!(millis(percentile(&mut times, 100)), 100.0);
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }
}
