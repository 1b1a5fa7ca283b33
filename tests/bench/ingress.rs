//! The ingress, compared with the bare broker.

use std::time::Duration;

use tests::{GatewayOptions, RabbitMq};

use super::figures::Figures;
use super::rig::{self, Meter, Setup};
use super::sink::Sink;
use super::{Plan, broker_ceiling, disk_ceiling, load, rate};

const CONNECTIONS: [usize; 2] = [64, 256];

/// Measures, on a new node for each repeat.
///
/// # Panics
/// When a callback is not accepted.
pub(crate) async fn measure(plan: Plan) -> Figures {
    let (mut figures, time) = (Figures::default(), plan.seconds);
    for _ in 0..plan.repeats {
        let node = rig::node(Setup::RabbitMq).await;
        let rabbitmq = node.as_ref().expect("a node");
        let syncs = disk_ceiling::raw_syncs(time / 2);
        figures.add("raw append + fdatasync", "/s", syncs);
        for connections in [1, 2] {
            let name = format!("bare confirmed publishes, {connections} connection(s)");
            let bare = broker_ceiling::pipelined(rabbitmq, connections, time).await;
            figures.add(&name, "/s", bare);
        }
        let sink = Sink::start();
        for connections in CONNECTIONS {
            let gateway = rig::gateway(Setup::RabbitMq, node.as_ref(), options()).await;
            let body = load::callback(sink.address, 0);
            let meter = Meter::start(Setup::RabbitMq, node.as_ref(), &gateway).await;
            let address = gateway.ingress.address;
            let accepted = load::closed(address, &body, connections, time).await;
            let name = format!("ingress, {connections} connections");
            figures.add(&name, "/s", rate(accepted.count, accepted.time));
            meter.stop(&mut figures, &name, accepted.count);
            let peak = rig::memory(gateway.ingress.process.pid(), "VmHWM:");
            figures.add(&format!("peak memory, {name}"), "MiB", peak);
        }
        one_at_a_time(&mut figures, rabbitmq, time).await;
    }
    for connections in CONNECTIONS {
        for bare in [1, 2] {
            figures.compare(
                &format!("ingress with {connections} to bare with {bare}"),
                &format!("ingress, {connections} connections"),
                &format!("bare confirmed publishes, {bare} connection(s)"),
            );
        }
    }
    figures.compare(
        "one accept to one confirm",
        "one accept at a time, p50",
        "one confirm at a time, p50",
    );
    figures
}

/// Half of the time each, twice in turn: the speed of the disk changes within seconds.
async fn one_at_a_time(figures: &mut Figures, rabbitmq: &RabbitMq, time: Duration) {
    let gateway = rig::gateway(Setup::RabbitMq, Some(rabbitmq), options()).await;
    let sink = Sink::start();
    let body = load::callback(sink.address, 0);
    let ingress = gateway.ingress.address;
    for _ in 0..2 {
        let bare = broker_ceiling::one_by_one(rabbitmq, time / 2).await;
        let mut add = |name: &str, p50| figures.add(name, "ms", p50);
        add("one confirm at a time, p50", bare.percentile_ms(50.0));
        let accepts = load::closed_times(ingress, &body, time / 2).await;
        add("one accept at a time, p50", accepts.percentile_ms(50.0));
        let refusals = load::refused_times(ingress, &body, time / 4).await;
        let p50 = refusals.percentile_ms(50.0);
        add("of it HTTP (one 400 at a time), p50", p50);
    }
}

/// The ingress alone: nothing is consumed.
fn options() -> GatewayOptions {
    GatewayOptions {
        dispatchers: 0,
        ..GatewayOptions::default()
    }
}
