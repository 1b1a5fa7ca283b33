//! What does a callback in flight weigh in the dispatcher, and a waiting caller at the door in?

use std::time::{Duration, Instant};

use super::flow::Flow;
use super::load::Line;
use super::rig::{self, Stand};
use super::sink::Sink;
use super::{Asked, Figures, MIB};
use crate::GatewayOptions;

/// Targets take so long to answer: all calls are in flight at the same time.
const HOLD: Duration = Duration::from_secs(25);
const IN_FLIGHT: usize = 4_000;
/// So many share the calls: each at its cap, a tenth of the slots.
const TARGETS: usize = 20;
const WAITERS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures.
///
/// # Panics
/// When a callback is not accepted, or not called in time.
pub async fn measure(asked: Asked) -> Figures {
    let mut figures = Figures::default();
    for _ in 0..asked.repeats {
        in_flight(&mut figures).await;
        waiting(&mut figures).await;
    }
    figures
}

async fn in_flight(figures: &mut Figures) {
    let node = rig::node(Stand::RabbitMq).await;
    let slots = IN_FLIGHT.to_string();
    let options = GatewayOptions::default()
        .with("RINGBACK__DISPATCHER__FIRST_SLOTS", &slots)
        .with("RINGBACK__DISPATCHER__ATTEMPT_TIMEOUT", "40s");
    let gateway = rig::gateway(Stand::RabbitMq, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, HOLD).await;
    let pid = gateway.dispatchers[0].process.pid();
    let before = rig::memory(pid, "VmRSS:");
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    super::flow::paced(
        &flow,
        64,
        2_000.0,
        Duration::from_secs_f64(IN_FLIGHT as f64 / 2_000.0),
    )
    .await;
    called(&sink, IN_FLIGHT).await;
    let more = rig::memory(pid, "VmRSS:") - before;
    let each = more * MIB / 1024.0 / IN_FLIGHT as f64;
    figures.add("a callback in flight, its body included", "KiB", each);
}

/// Waits until so many calls are under way at the same time.
async fn called(sink: &Sink, count: usize) {
    let begun = Instant::now();
    while sink.count() < count as u64 {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} of {count} called",
            sink.count()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn waiting(figures: &mut Figures) {
    let node = rig::node(Stand::RabbitMq).await;
    let options = GatewayOptions::default()
        .with("RINGBACK__DISPATCHER__ATTEMPT_TIMEOUT", "40s")
        .with_ingress("RINGBACK__INGRESS__DEFAULT_WAIT", "30s");
    let gateway = rig::gateway(Stand::RabbitMq, node.as_ref(), options).await;
    let sink = Sink::many(TARGETS, HOLD).await;
    let pid = gateway.ingress.process.pid();
    let before = rig::memory(pid, "VmRSS:");
    let flow = Flow::new(gateway.ingress.address, &sink.addresses, "{}");
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..WAITERS {
        let request = flow.request();
        let mut line = Line::to(gateway.ingress.address)
            .await
            .expect("a connection");
        callers.spawn(async move { line.ask(&request).await.map(|_| ()) });
    }
    // All are accepted: what is not in flight waits in its queue.
    let accepted = format!("{WAITERS}");
    crate::eventually("every waiter accepted", PATIENCE, async || {
        let page = gateway.metrics(crate::Role::Ingress).await;
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
