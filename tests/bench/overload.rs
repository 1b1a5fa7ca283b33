//! Overload: twice the sustained throughput, and a hundred thousand retries that are due at once.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::Broker;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::figures::{Figures, Times};
use super::flow::{self, Flow};
use super::rig::{self, Setup};
use super::sink::Sink;
use super::{Plan, rate};
use tests::{Gateway, GatewayOptions, RabbitMq};

const TARGETS: usize = 16;
const CONNECTIONS: usize = 512;
const OUTSTANDING: u64 = 1_000;
/// Backlog at which callbacks are refused.
const BACKLOG: &str = "20000";
/// Long enough to fill everything that fills up.
const MIN_TIME: Duration = Duration::from_secs(60);
const LIGHT: f64 = 200.0;
/// Retries that are due in the same second.
const STORM: u64 = 100_000;
/// Time to store them.
const LATER: Duration = Duration::from_secs(40);
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(300);

/// Offers twice the sustained throughput for a minute, or for `plan.seconds` if that is longer, and
/// measures the recovery.
///
/// # Panics
/// When the gateway breaks a promise: a callback that was accepted does not arrive.
pub(crate) async fn twice(plan: Plan, setup: Setup) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..plan.repeats {
        once(&mut figures, plan.seconds.max(MIN_TIME), setup).await;
    }
    figures
}

async fn once(figures: &mut Figures, time: Duration, setup: Setup) {
    let node = rig::node(setup).await;
    let options = GatewayOptions::default().with_ingress("RINGBACK__INGRESS__MAX_BACKLOG", BACKLOG);
    let gateway = rig::gateway(setup, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, Duration::ZERO);
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    let warm = Duration::from_secs(5);
    let sustained = rate(
        flow::saturate(&flow, &sink, 128, OUTSTANDING, warm).await,
        warm,
    );
    figures.add("sustained", "/s", sustained);
    // The last callbacks of `saturate` are still to arrive.
    let before = settled(&sink).await;
    let resting = memories(&gateway);
    let begun = Instant::now();
    let paced = flow::paced(&flow, CONNECTIONS, sustained * 2.0, time).await;
    let (time, over) = (begun.elapsed(), Instant::now());
    let delivered = sink.count() - before;
    let (accepted, refused) = (paced.accepted.len(), paced.refused.len());
    figures.add("offered", "/s", sustained * 2.0);
    figures.add("accepted", "/s", rate(accepted, time));
    figures.add("refused", "/s", rate(refused, time));
    figures.add(
        "refused with Retry-After",
        "",
        paced.with_retry_after as f64,
    );
    figures.add("refused in all", "", refused as f64);
    figures.add("connections broken", "", paced.broken as f64);
    figures.add("delivered meanwhile", "/s", rate(delivered, time));
    figures.add("backlog at the end", "", (accepted - delivered) as f64);
    for (name, times) in [
        ("refusal, from its first byte", &paced.refusing),
        ("refusal, from its due time", &paced.refused),
        ("accept, from its due time", &paced.accepted),
    ] {
        times.add_to(figures, name);
    }
    for ((role, now), (_, before)) in memories(&gateway).into_iter().zip(resting) {
        figures.add(&format!("peak memory of {role}"), "MiB", now);
        figures.add(&format!("{role} before it"), "MiB", before);
    }
    let gone = async {
        while sink.count() < before + accepted {
            let missing = before + accepted - sink.count();
            assert!(over.elapsed() < RECOVERY_TIMEOUT, "lost: {missing}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        over.elapsed()
    };
    // The light load is in addition to what is counted.
    let (gone, recovered) = tokio::join!(gone, recovered(&flow));
    figures.add("recovered within", "s", recovered);
    figures.add("backlog gone within", "s", gone.as_secs_f64());
}

/// Waits until nothing arrives any more; returns how many have arrived.
async fn settled(sink: &Sink) -> u64 {
    loop {
        let count = sink.count();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if sink.count() == count {
            return count;
        }
    }
}

/// Seconds until a light load has been accepted without a refusal, each within 50 ms, for half a
/// second.
async fn recovered(flow: &Flow) -> f64 {
    let begun = Instant::now();
    loop {
        let now = begun.elapsed();
        let paced = flow::paced(flow, 16, LIGHT, Duration::from_millis(500)).await;
        let fine = paced.refused.len() == 0 && paced.broken == 0;
        if fine && paced.accepted.max_ms() < 50.0 {
            return now.as_secs_f64();
        }
        assert!(begun.elapsed() < RECOVERY_TIMEOUT, "not recovered");
    }
}

fn memories(gateway: &Gateway<'_>) -> Vec<(&'static str, f64)> {
    let instances = gateway.instances();
    instances
        .map(|instance| {
            (
                instance.role(),
                rig::memory(instance.process.pid(), "VmHWM:"),
            )
        })
        .collect()
}

/// A hundred thousand retries that are due in the same second, and first attempts meanwhile.
///
/// # Panics
/// When one does not arrive.
pub(crate) async fn storm(plan: Plan) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..plan.repeats {
        let node = rig::node(Setup::RabbitMq).await;
        let rabbit = node.as_ref().expect("a node");
        let gateway = rig::gateway(Setup::RabbitMq, Some(rabbit), GatewayOptions::default()).await;
        let retries = Sink::many(TARGETS, Duration::ZERO);
        let due = store_retries(rabbit, &gateway, &retries).await;
        let sink = Sink::many(TARGETS, Duration::ZERO);
        let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
        let quiet = Duration::from_secs(5);
        let until_due = due.saturating_duration_since(Instant::now());
        tokio::time::sleep(until_due.saturating_sub(quiet + Duration::from_secs(1))).await;
        flow::paced(&flow, 64, LIGHT, quiet).await;
        let before = sink.take_latencies();
        tokio::time::sleep_until(due.into()).await;
        let draining = async {
            while retries.count() < STORM {
                assert!(due.elapsed() < RECOVERY_TIMEOUT, "{} came", retries.count());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            due.elapsed()
        };
        let first = async {
            let mut times = Times::default();
            while retries.count() < STORM {
                flow::paced(&flow, 64, LIGHT, Duration::from_secs(1)).await;
                times.merge(&sink.take_latencies());
            }
            times
        };
        let (drained, meanwhile) = tokio::join!(draining, first);
        figures.add("100,000 retries drained within", "s", drained.as_secs_f64());
        before.add_to(&mut figures, "latency of first attempts before");
        meanwhile.add_to(&mut figures, "latency of first attempts meanwhile");
    }
    figures
}

/// Puts the retries into the delay queues; all are due at the time returned.
async fn store_retries(rabbit: &RabbitMq, gateway: &Gateway<'_>, retries: &Sink) -> Instant {
    let mut settings = broker::RabbitMqOptions::new(&rabbit.uri()).expect("a URL of ours");
    settings.prefix = gateway.name("").trim_end_matches('.').to_owned();
    settings.publish_timeout = Duration::from_secs(60);
    let broker = Broker::start(settings).expect("settings of ours");
    let mut publishing = broker.publishing();
    let up = publishing.wait_for(broker::ConnectionState::is_up).await;
    up.expect("it goes on");
    let due = Instant::now() + LATER;
    let due_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        + LATER;
    let (free, mut tasks) = (Arc::new(Semaphore::new(1_500)), JoinSet::new());
    for turn in 0..STORM {
        let slot = free.clone().acquire_owned().await.expect("never closed");
        let place = usize::try_from(turn).expect("few") % retries.addresses.len();
        let target = retries.addresses[place];
        let broker = broker.clone();
        tasks.spawn(async move {
            let message = super::memory::retry(target, due_ms);
            let after = due.saturating_duration_since(Instant::now());
            broker.publish_later(message, after).await.expect("stored");
            drop(slot);
        });
        while tasks.try_join_next().is_some() {}
    }
    tasks.join_all().await;
    broker.close().await;
    let left = due.saturating_duration_since(Instant::now());
    assert!(
        left > Duration::from_secs(8),
        "storing them took too long: {left:?}"
    );
    due
}
