//! How near to the broker's own rate does the door in come?

use std::time::Duration;

use super::flow::{millis, percentile};
use super::rig::{self, Meter, Stand};
use super::sink::Sink;
use super::{Asked, Figures, ceiling, disk, load, rate};
use crate::GatewayOptions;

const CONNECTIONS: [usize; 2] = [64, 256];

/// Measures, on a node of its own for each repeat.
///
/// # Panics
/// When a callback is not accepted.
pub async fn measure(asked: Asked) -> Figures {
    let (mut figures, time) = (Figures::default(), asked.seconds);
    for _ in 0..asked.repeats {
        let node = rig::node(Stand::RabbitMq).await;
        let rabbit = node.as_ref().expect("a node");
        figures.add("raw append + fdatasync", "/s", disk::raw_syncs(time / 2));
        for connections in [1, 2] {
            let name = format!("bare confirmed publishes, {connections} connection(s)");
            let bare = ceiling::pipelined(rabbit, connections, time).await;
            figures.add(&name, "/s", bare);
        }
        let sink = Sink::start().await;
        for connections in CONNECTIONS {
            let gateway = rig::gateway(Stand::RabbitMq, node.as_ref(), options()).await;
            let body = load::callback(sink.address, 0);
            let meter = Meter::start(Stand::RabbitMq, node.as_ref(), &gateway).await;
            let address = gateway.ingress.address;
            let taken = load::closed(address, &body, connections, time).await;
            let name = format!("ingress, {connections} connections");
            figures.add(&name, "/s", rate(taken.accepted, taken.time));
            meter.stop(&mut figures, &name, taken.accepted);
            let most = rig::memory(gateway.ingress.process.pid(), "VmHWM:");
            figures.add(&format!("most memory, {name}"), "MiB", most);
        }
        one_at_a_time(&mut figures, rabbit, time).await;
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

/// Half of the time each, twice in turn: the disk's mood changes within seconds.
async fn one_at_a_time(figures: &mut Figures, rabbit: &crate::Rabbit, time: Duration) {
    let gateway = rig::gateway(Stand::RabbitMq, Some(rabbit), options()).await;
    let sink = Sink::start().await;
    let body = load::callback(sink.address, 0);
    for _ in 0..2 {
        let mut bare = ceiling::one_by_one(rabbit, time / 2).await;
        let p50 = millis(percentile(&mut bare, 50));
        figures.add("one confirm at a time, p50", "ms", p50);
        let mut times = load::closed_times(gateway.ingress.address, &body, time / 2).await;
        let p50 = millis(percentile(&mut times, 50));
        figures.add("one accept at a time, p50", "ms", p50);
        let mut times = load::refused_times(gateway.ingress.address, &body, time / 4).await;
        let p50 = millis(percentile(&mut times, 50));
        figures.add("of it HTTP (one 400 at a time), p50", "ms", p50);
    }
}

/// The door in alone: nothing is taken out.
fn options() -> GatewayOptions {
    GatewayOptions {
        dispatchers: 0,
        ..GatewayOptions::default()
    }
}
