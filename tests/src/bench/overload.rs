//! What becomes of twice as much as the gateway can carry, and of a hundred thousand retries that
//! are due at once?

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::Broker;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::flow::{self, Flow, millis, percentile};
use super::rig::{self, Stand};
use super::sink::Sink;
use super::{Asked, Figures, rate};
use crate::{Gateway, GatewayOptions, Rabbit};

const TARGETS: usize = 16;
const CONNECTIONS: usize = 512;
const UNDER_WAY: u64 = 1_000;
/// What may wait in the queues before callbacks are refused.
const BACKLOG: &str = "20000";
/// What fills up, fills up within that time.
const MINUTE: Duration = Duration::from_secs(60);
const LIGHT: f64 = 200.0;
/// Retries that are due in the same second.
const STORM: u64 = 100_000;
/// Time enough to put them in.
const LATER: Duration = Duration::from_secs(40);
const PATIENCE: Duration = Duration::from_secs(300);

/// Offers twice the most for a minute, or for `asked.seconds` if that is longer; then looks how soon
/// it is well again.
///
/// # Panics
/// When the gateway breaks a promise: a callback that was accepted does not arrive.
pub async fn twice(asked: Asked, stand: Stand) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..asked.repeats {
        once(&mut figures, asked.seconds.max(MINUTE), stand).await;
    }
    figures
}

async fn once(figures: &mut Figures, time: Duration, stand: Stand) {
    let node = rig::node(stand).await;
    let options = GatewayOptions::default().with_ingress("RINGBACK__INGRESS__MAX_BACKLOG", BACKLOG);
    let gateway = rig::gateway(stand, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, Duration::ZERO).await;
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    let warm = Duration::from_secs(5);
    let most = rate(
        flow::saturate(&flow, &sink, 128, UNDER_WAY, warm).await,
        warm,
    );
    figures.add("the most", "/s", most);
    // What `saturate` posted last is on its way.
    let before = settled(&sink).await;
    let resting = memories(&gateway);
    let begun = Instant::now();
    let mut paced = flow::paced(&flow, CONNECTIONS, most * 2.0, time).await;
    let (time, over) = (begun.elapsed(), Instant::now());
    let delivered = sink.count() - before;
    let (accepted, refused) = (paced.accepted.len() as u64, paced.refused.len() as u64);
    figures.add("offered", "/s", most * 2.0);
    figures.add("accepted", "/s", rate(accepted, time));
    figures.add("refused", "/s", rate(refused, time));
    figures.add("refused with Retry-After", "", paced.told_when as f64);
    figures.add("refused in all", "", refused as f64);
    figures.add("connections broken", "", paced.broken as f64);
    figures.add("delivered meanwhile", "/s", rate(delivered, time));
    figures.add("backlog at the end", "", (accepted - delivered) as f64);
    let mut add = |name: &str, times: &mut [Duration]| {
        for percent in [50, 99] {
            let time = millis(percentile(times, percent));
            figures.add(&format!("{name} p{percent}"), "ms", time);
        }
    };
    add("refusal, from its first byte", &mut paced.refusing);
    add("refusal, from its due moment", &mut paced.refused);
    add("accept, from its due moment", &mut paced.accepted);
    for ((role, now), (_, before)) in memories(&gateway).into_iter().zip(resting) {
        figures.add(&format!("most memory of {role}"), "MiB", now);
        figures.add(&format!("{role} before it"), "MiB", before);
    }
    let gone = async {
        while sink.count() < before + accepted {
            let missing = before + accepted - sink.count();
            assert!(over.elapsed() < PATIENCE, "lost: {missing}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        over.elapsed()
    };
    // The light load comes on top of what is counted, never instead of it.
    let (gone, well) = tokio::join!(gone, well_again(&flow));
    figures.add("well again within", "s", well);
    figures.add("backlog gone within", "s", gone.as_secs_f64());
}

/// Waits until nothing comes in any more; how much came.
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
async fn well_again(flow: &Flow) -> f64 {
    let begun = Instant::now();
    loop {
        let now = begun.elapsed();
        let mut paced = flow::paced(flow, 16, LIGHT, Duration::from_millis(500)).await;
        let slowest = percentile(&mut paced.accepted, 100);
        let fine = paced.refused.is_empty() && paced.broken == 0;
        if fine && slowest < Duration::from_millis(50) {
            return now.as_secs_f64();
        }
        assert!(begun.elapsed() < PATIENCE, "not well again");
    }
}

fn memories(gateway: &Gateway<'_>) -> Vec<(&'static str, f64)> {
    let doors = gateway.doors();
    doors
        .map(|door| (door.role(), rig::memory(door.process.pid(), "VmHWM:")))
        .collect()
}

/// A hundred thousand retries are due in the same second: what is it to first attempts meanwhile?
///
/// # Panics
/// When one does not arrive.
pub async fn storm(asked: Asked) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..asked.repeats {
        let node = rig::node(Stand::RabbitMq).await;
        let rabbit = node.as_ref().expect("a node");
        let gateway = rig::gateway(Stand::RabbitMq, Some(rabbit), GatewayOptions::default()).await;
        let retries = Sink::many(TARGETS, Duration::ZERO).await;
        let due = plant(rabbit, &gateway, &retries).await;
        let sink = Sink::many(TARGETS, Duration::ZERO).await;
        let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
        let quiet = Duration::from_secs(5);
        let until_due = due.saturating_duration_since(Instant::now());
        tokio::time::sleep(until_due.saturating_sub(quiet + Duration::from_secs(1))).await;
        flow::paced(&flow, 64, LIGHT, quiet).await;
        let mut before = sink.under_way();
        tokio::time::sleep_until(due.into()).await;
        let draining = async {
            while retries.count() < STORM {
                assert!(due.elapsed() < PATIENCE, "{} came", retries.count());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            due.elapsed()
        };
        let first = async {
            let mut times = Vec::new();
            while retries.count() < STORM {
                flow::paced(&flow, 64, LIGHT, Duration::from_secs(1)).await;
                times.extend(sink.under_way());
            }
            times
        };
        let (drained, mut meanwhile) = tokio::join!(draining, first);
        figures.add("100,000 retries drained within", "s", drained.as_secs_f64());
        for percent in [50, 99] {
            let quiet = millis(percentile(&mut before, percent));
            let name = format!("first attempt under way p{percent}");
            figures.add(&format!("{name}, before"), "ms", quiet);
            let storm = millis(percentile(&mut meanwhile, percent));
            figures.add(&format!("{name}, meanwhile"), "ms", storm);
        }
    }
    figures
}

/// Puts the retries into the ladder, all due at the moment returned.
async fn plant(rabbit: &Rabbit, gateway: &Gateway<'_>, retries: &Sink) -> Instant {
    let mut settings = broker::Settings::new(&rabbit.uri()).expect("a URL of ours");
    settings.prefix = gateway.name("").trim_end_matches('.').to_owned();
    settings.publish_timeout = Duration::from_secs(60);
    let broker = Broker::start(settings).expect("settings of ours");
    let mut publishing = broker.publishing();
    let up = publishing.wait_for(broker::State::is_up).await;
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
        "too slow to put them in: {left:?}"
    );
    due
}
