//! Sustained throughput of a whole gateway with its cost, and the latency of a callback by load.

use std::time::Duration;

use tests::GatewayOptions;

use super::figures::{Figures, Times};
use super::flow::{self, Flow};
use super::rig::{self, Meter, Setup};
use super::sink::Sink;
use super::{Plan, disk_ceiling, rate};

/// Several targets: one alone would be limited to its cap of a tenth of the concurrency.
const TARGETS: usize = 16;
pub(crate) const CONNECTIONS: usize = 128;
/// Undelivered callbacks that keep a gateway busy.
pub(crate) const OUTSTANDING: u64 = 1_000;
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);
/// A light load, per second.
const LIGHT_LOAD: f64 = 200.0;
/// Loads in percent of the sustained throughput.
const LOADS: [u32; 6] = [10, 30, 50, 70, 80, 90];

/// Measures the sustained throughput.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn sustained(plan: Plan, setups: &[Setup]) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..plan.repeats {
        for setup in setups {
            let syncs = disk_ceiling::raw_syncs(plan.seconds / 4);
            figures.add("raw append + fdatasync", "/s", syncs);
            sustain(&mut figures, *setup, plan.seconds).await;
        }
    }
    let name = |setup: Setup| format!("delivered, {}", setup.name());
    figures.compare(
        "with to without the journal",
        &name(Setup::RabbitMqPostgres),
        &name(Setup::RabbitMq),
    );
    figures
}

async fn sustain(figures: &mut Figures, setup: Setup, time: Duration) -> f64 {
    let node = rig::node(setup).await;
    let gateway = rig::gateway(setup, node.as_ref(), GatewayOptions::default()).await;
    let sink = Sink::many(TARGETS, Duration::ZERO);
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    flow::saturate(&flow, &sink, CONNECTIONS, OUTSTANDING, WARM_UP).await;
    let meter = Meter::start(setup, node.as_ref(), &gateway).await;
    sink.take_latencies();
    let delivered = flow::saturate(&flow, &sink, CONNECTIONS, OUTSTANDING, time).await;
    let name = setup.name();
    meter.stop(figures, name, delivered);
    let rate = rate(delivered, time);
    figures.add(&format!("delivered, {name}"), "/s", rate);
    let p99 = sink.take_latencies().percentile_ms(99.0);
    figures.add(&format!("latency meanwhile, {name}, p99"), "ms", p99);
    for instance in gateway.instances() {
        let max = rig::memory(instance.process.pid(), "VmHWM:");
        let row = format!("peak memory of {}, {name}", instance.role());
        figures.add(&row, "MiB", max);
    }
    rate
}

/// Measures the time until the answer, and until the callback is at its target, from the due time
/// of the POST: at a light load, and at parts of the sustained throughput.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn latency(plan: Plan, setups: &[Setup]) -> Figures {
    let mut figures = Figures::default();
    for setup in setups {
        let name = setup.name();
        let mut found = Figures::default();
        for _ in 0..plan.repeats {
            let max = sustain(&mut found, *setup, plan.seconds).await;
            let loads = LOADS.map(|part| (format!("{part} %"), f64::from(part) / 100.0 * max));
            let light = (format!("{LIGHT_LOAD}/s"), LIGHT_LOAD);
            for (load, per_second) in std::iter::once(light).chain(loads) {
                let (answers, arrivals) = at_load(*setup, per_second, plan.seconds).await;
                answers.add_to(&mut figures, &format!("answer, {load}, {name}"));
                arrivals.add_to(&mut figures, &format!("latency, {load}, {name}"));
            }
        }
        let delivered = found.median(&format!("delivered, {name}"));
        let sustained = delivered.expect("measured");
        figures.add(&format!("sustained, {name}"), "/s", sustained);
    }
    figures
}

/// Times until the answer and until the target.
async fn at_load(setup: Setup, per_second: f64, time: Duration) -> (Times, Times) {
    let node = rig::node(setup).await;
    let gateway = rig::gateway(setup, node.as_ref(), GatewayOptions::default()).await;
    let sink = Sink::many(TARGETS, Duration::ZERO);
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    flow::paced(&flow, CONNECTIONS, per_second, WARM_UP).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sink.take_latencies();
    let paced = flow::paced(&flow, CONNECTIONS, per_second, time).await;
    assert!(
        paced.refused.len() == 0 && paced.broken == 0,
        "{} refused, {} broken at {per_second}/s",
        paced.refused.len(),
        paced.broken
    );
    // Late arrivals count as well, up to a limit.
    let mut arrivals = Times::default();
    for _ in 0..300 {
        arrivals.merge(&sink.take_latencies());
        if arrivals.len() >= paced.accepted.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(arrivals.len(), paced.accepted.len(), "at {per_second}/s");
    (paced.accepted, arrivals)
}
