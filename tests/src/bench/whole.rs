//! What does a whole gateway deliver, at which cost, and how long is a callback under way at which
//! load?

use std::time::Duration;

use super::flow::{self, Flow, millis, percentile};
use super::plot::Plot;
use super::rig::{self, Meter, Stand};
use super::sink::Sink;
use super::{Asked, Figures, disk, rate};
use crate::GatewayOptions;

/// As many targets: one alone would be held to its cap of a tenth of the slots.
const TARGETS: usize = 16;
const CONNECTIONS: usize = 128;
/// Callbacks under way that keep a gateway busy.
const UNDER_WAY: u64 = 1_000;
const WARM: Duration = Duration::from_secs(2);
/// A light load, a second.
const LIGHT: f64 = 200.0;
/// Parts of the most that can be sustained.
const LOADS: [u32; 6] = [10, 30, 50, 70, 80, 90];

/// The most that can be sustained.
///
/// # Panics
/// When a callback is not accepted.
pub async fn throughput(asked: Asked, stands: &[Stand]) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..asked.repeats {
        for stand in stands {
            let syncs = disk::raw_syncs(asked.seconds / 4);
            figures.add("raw append + fdatasync", "/s", syncs);
            most(&mut figures, *stand, asked.seconds).await;
        }
    }
    let name = |stand: Stand| format!("delivered, {}", stand.name());
    figures.compare(
        "with to without the journal",
        &name(Stand::RabbitMqPostgres),
        &name(Stand::RabbitMq),
    );
    figures
}

async fn most(figures: &mut Figures, stand: Stand, time: Duration) -> f64 {
    let node = rig::node(stand).await;
    let gateway = rig::gateway(stand, node.as_ref(), GatewayOptions::default()).await;
    let sink = Sink::many(TARGETS, Duration::ZERO).await;
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    flow::saturate(&flow, &sink, CONNECTIONS, UNDER_WAY, WARM).await;
    let meter = Meter::start(stand, node.as_ref(), &gateway).await;
    sink.under_way();
    let delivered = flow::saturate(&flow, &sink, CONNECTIONS, UNDER_WAY, time).await;
    let name = stand.name();
    meter.stop(figures, name, delivered);
    let rate = rate(delivered, time);
    figures.add(&format!("delivered, {name}"), "/s", rate);
    let mut times = sink.under_way();
    let p99 = millis(percentile(&mut times, 99));
    figures.add(&format!("under way p99 meanwhile, {name}"), "ms", p99);
    for door in gateway.doors() {
        let most = rig::memory(door.process.pid(), "VmHWM:");
        let row = format!("most memory of {}, {name}", door.role());
        figures.add(&row, "MiB", most);
    }
    rate
}

/// How long callbacks are under way, from the moment when they are due to be posted until they
/// are at their target: at a light load, and at parts of the most. The plot is of the last stand.
///
/// # Panics
/// When a callback is not accepted.
pub async fn latency(asked: Asked, stands: &[Stand]) -> (Figures, Plot) {
    let (mut figures, mut plot) = (Figures::default(), Plot::default());
    for stand in stands {
        let mut found = Figures::default();
        for _ in 0..asked.repeats {
            let most = most(&mut found, *stand, asked.seconds).await;
            let loads = LOADS.map(|part| (format!("{part} %"), f64::from(part) / 100.0 * most));
            for (load, a_second) in std::iter::once((format!("{LIGHT}/s"), LIGHT)).chain(loads) {
                let times = at(*stand, a_second, asked.seconds).await;
                for (word, percent) in [("p50", 50), ("p99", 99)] {
                    let [mut answers, mut arrivals] = times.clone();
                    let name = stand.name();
                    let answer = millis(percentile(&mut answers, percent));
                    let row = format!("answer {word}, {load}, {name}");
                    figures.add(&row, "ms", answer);
                    let arrival = millis(percentile(&mut arrivals, percent));
                    let row = format!("under way {word}, {load}, {name}");
                    figures.add(&row, "ms", arrival);
                    plot.add(stand.name(), word, a_second, arrival);
                }
            }
        }
        let name = format!("delivered, {}", stand.name());
        let most = found.median(&name).expect("measured");
        figures.add(&format!("the most, {}", stand.name()), "/s", most);
    }
    (figures, plot)
}

/// Times until the answer and until the target, at so many a second.
async fn at(stand: Stand, a_second: f64, time: Duration) -> [Vec<Duration>; 2] {
    let node = rig::node(stand).await;
    let gateway = rig::gateway(stand, node.as_ref(), GatewayOptions::default()).await;
    let sink = Sink::many(TARGETS, Duration::ZERO).await;
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    flow::paced(&flow, CONNECTIONS, a_second, WARM).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sink.under_way();
    let paced = flow::paced(&flow, CONNECTIONS, a_second, time).await;
    assert!(
        paced.refused.is_empty() && paced.broken == 0,
        "{} refused, {} broken at {a_second}/s",
        paced.refused.len(),
        paced.broken
    );
    // What is late is late: it counts, up to a limit.
    let mut arrivals = Vec::new();
    for _ in 0..300 {
        arrivals.extend(sink.under_way());
        if arrivals.len() >= paced.accepted.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(arrivals.len(), paced.accepted.len(), "at {a_second}/s");
    [paced.accepted, arrivals]
}
