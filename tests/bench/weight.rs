//! Memory per callback in flight in the dispatcher, and per waiting caller in the ingress.

use std::time::{Duration, Instant};

use tests::{GatewayOptions, GatewayRole, eventually};

use super::figures::Figures;
use super::flow::{self, Flow};
use super::load::Connection;
use super::rig::{self, Setup};
use super::sink::Sink;
use super::{MIB, Plan};

/// Delay of the targets' answers: all calls are in flight at the same time.
const DELAY: Duration = Duration::from_secs(25);
const IN_FLIGHT: usize = 4_000;
/// Share the calls: each at its cap, a tenth of the concurrency.
const TARGETS: usize = 20;
const WAITERS: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Measures both.
///
/// # Panics
/// When a callback is not accepted, or not attempted in time.
pub(crate) async fn measure(plan: Plan) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..plan.repeats {
        in_flight(&mut figures).await;
        waiting(&mut figures).await;
    }
    figures
}

async fn in_flight(figures: &mut Figures) {
    let node = rig::node(Setup::RabbitMq).await;
    let options = GatewayOptions::default()
        .with(
            "RINGBACK__DISPATCHER__FIRST_CONCURRENCY",
            &IN_FLIGHT.to_string(),
        )
        .with("RINGBACK__DISPATCHER__ATTEMPT_TIMEOUT", "40s");
    let gateway = rig::gateway(Setup::RabbitMq, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, DELAY);
    let pid = gateway.dispatchers[0].process.pid();
    let before = rig::memory(pid, "VmRSS:");
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    let time = Duration::from_secs_f64(IN_FLIGHT as f64 / 2_000.0);
    flow::paced(&flow, 64, 2_000.0, time).await;
    all_in_flight(&sink, IN_FLIGHT).await;
    let more = rig::memory(pid, "VmRSS:") - before;
    let each = more * MIB / 1024.0 / IN_FLIGHT as f64;
    figures.add("a callback in flight, its body included", "KiB", each);
}

/// Waits until this many calls are in flight at the same time.
async fn all_in_flight(sink: &Sink, count: usize) {
    let begun = Instant::now();
    while sink.count() < count as u64 {
        let now = sink.count();
        assert!(begun.elapsed() < TIMEOUT, "{now} of {count} in flight");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn waiting(figures: &mut Figures) {
    let node = rig::node(Setup::RabbitMq).await;
    let options = GatewayOptions::default()
        .with("RINGBACK__DISPATCHER__ATTEMPT_TIMEOUT", "40s")
        .with_ingress("RINGBACK__INGRESS__DEFAULT_WAIT", "30s");
    let gateway = rig::gateway(Setup::RabbitMq, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, DELAY);
    let pid = gateway.ingress.process.pid();
    let before = rig::memory(pid, "VmRSS:");
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..WAITERS {
        let request = flow.request();
        let connection = Connection::to(gateway.ingress.address).await;
        let mut connection = connection.expect("a connection");
        callers.spawn(async move { connection.exchange(&request).await.map(|_| ()) });
    }
    // All are accepted; what is not in flight waits in its queue.
    let accepted = format!("{WAITERS}");
    eventually("every waiter accepted", TIMEOUT, async || {
        let page = gateway.metrics(GatewayRole::Ingress).await;
        let line = page
            .lines()
            .find_map(|it| it.strip_prefix("ringback_callbacks_accepted_total "));
        let line = line.unwrap_or_default().to_owned();
        if line == accepted { Ok(()) } else { Err(line) }
    })
    .await;
    let more = rig::memory(pid, "VmRSS:") - before;
    figures.add(&format!("{WAITERS} waiters"), "MiB", more);
    let each = more * MIB / 1024.0 / WAITERS as f64;
    figures.add("a waiter, its connection included", "KiB", each);
}
