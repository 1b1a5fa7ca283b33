//! Memory and start-up time of `ringback serve`, also with a large backlog.
//!
//! This process fills the backlog through the broker's own interface before `serve` starts: the
//! same store, without a million HTTP requests.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::{Broker, embedded};
use contract::{Message, Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::figures::Figures;
use super::sink::Sink;
use super::{MIB, Plan, rate};
use tests::{SingleProcess, process};

const STARTS: usize = 10;
const BACKLOG: u64 = 1_000_000;
/// Fewer than the store accepts at a time.
const IN_FLIGHT: usize = 4_096;
const A_DAY: Duration = Duration::from_secs(86_400);
const IDLE: Duration = Duration::from_secs(3);

/// Measures.
///
/// # Panics
/// When something does not start or is refused.
pub(crate) async fn measure(plan: Plan) -> Figures {
    let mut figures = Figures::default();
    process::binary(); // Build it now, or the first start would be slow.
    for start in 0..STARTS {
        let (mut serve, time) = started(SingleProcess::new(&[])).await;
        figures.add("cold start to ready", "ms", millis(time));
        if start < plan.repeats {
            tokio::time::sleep(IDLE).await;
            figures.add("idle memory (RSS)", "MiB", serve.memory("VmRSS:") / MIB);
        }
        serve.stop().await;
    }
    backlog(&mut figures, plan).await;
    figures
}

async fn backlog(figures: &mut Figures, plan: Plan) {
    let (mut serve, sink) = (SingleProcess::new(&[]), Sink::start());
    let directory = serve.directory();
    let begun = Instant::now();
    fill(&directory, sink.address).await;
    figures.add(
        "storing 1,000,000, half delayed",
        "/s",
        rate(BACKLOG, begun.elapsed()),
    );
    let size = fs::metadata(directory.join("queue.db"))
        .expect("a store")
        .len();
    figures.add("their file", "MiB", size as f64 / MIB);
    for _ in 0..plan.repeats {
        let before = sink.count();
        let (ready, time) = started(serve).await;
        serve = ready;
        figures.add("start to ready with them", "ms", millis(time));
        figures.add(
            "memory when ready (RSS)",
            "MiB",
            serve.memory("VmRSS:") / MIB,
        );
        tokio::time::sleep(plan.seconds).await;
        let delivered = sink.count() - before;
        figures.add("delivering them", "/s", rate(delivered, plan.seconds));
        figures.add(
            "peak memory so far (VmHWM)",
            "MiB",
            serve.memory("VmHWM:") / MIB,
        );
        serve.kill9();
    }
}

/// Starts the process and checks every millisecond whether it is ready.
async fn started(mut serve: SingleProcess) -> (SingleProcess, Duration) {
    let begun = Instant::now();
    serve.spawn();
    let address = serve.address;
    while !is_ready(address).await {
        assert!(begun.elapsed() < Duration::from_secs(120), "not ready");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let time = begun.elapsed();
    (serve, time)
}

async fn is_ready(address: SocketAddr) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = exchange.await.unwrap_or_default();
    answer.starts_with(b"HTTP/1.1 200")
}

async fn fill(directory: &Path, target: SocketAddr) {
    let settings = embedded::EmbeddedOptions {
        directory: directory.to_owned(),
        publish_timeout: Duration::from_secs(60),
        min_free_bytes: 0,
    };
    let broker = Broker::open(&settings).expect("a store");
    let (free, mut tasks) = (Arc::new(Semaphore::new(IN_FLIGHT)), JoinSet::new());
    for turn in 0..BACKLOG {
        let slot = free.clone().acquire_owned().await.expect("never closed");
        let broker = broker.clone();
        tasks.spawn(async move {
            let message = message(target);
            let stored = if turn % 2 == 0 {
                broker.publish(message).await
            } else {
                broker.publish_later(message, A_DAY).await
            };
            stored.expect("stored");
            drop(slot);
        });
        while tasks.try_join_next().is_some() {}
    }
    tasks.join_all().await;
    broker.close().await;
}

/// A callback to `target` as the ingress would store it.
pub(crate) fn message(target: SocketAddr) -> broker::BrokerMessage {
    first_or_retry(target, None)
}

/// A callback whose second attempt is due at this time, since 1970.
pub(crate) fn retry(target: SocketAddr, due: Duration) -> broker::BrokerMessage {
    first_or_retry(target, Some(due))
}

fn first_or_retry(target: SocketAddr, due: Option<Duration>) -> broker::BrokerMessage {
    let not_before = due.map(|due| u64::try_from(due.as_millis()).expect("a clock"));
    let request_id = Uuid::now_v7();
    let text = "x".repeat(280);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let message = Message {
        request_id,
        app_id: "bench".to_owned(),
        caller_no: None,
        callee_no: None,
        message_type: "bench".to_owned(),
        callback_url: Some(format!("http://{target}/")),
        options: Options::default(),
        accepted_at: u64::try_from(since.as_millis()).expect("a clock"),
        generation: 0,
        attempt: if due.is_some() { 2 } else { 1 },
        deferrals: 0,
        hold: 0,
        not_before,
        scheduled_at: None,
        traceparent: None,
        tracestate: None,
        reply_to: None,
        history: Vec::new(),
        unknown: contract::UnknownFields::default(),
        request_message: format!(r#"{{"text":"{text}"}}"#).into(),
    };
    broker::BrokerMessage {
        id: request_id.to_string(),
        kind: "callback.v2",
        headers: Vec::new(),
        body: message.encode().into(),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
