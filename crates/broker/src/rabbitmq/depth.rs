//! How much waits in each lane?

use super::link::{Link, Live};
use super::topology::Topology;
use crate::{Depths, Lane};
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks once a second, while the broker is up, by passive declare: it needs no right and no plugin.
pub(super) async fn watch_depths(
    link: Link,
    topology: Arc<Topology>,
    depths: watch::Sender<Depths>,
) {
    while let Some(live) = link.up().await {
        tokio::select! {
            () = live.down.cancelled() => {}
            failed = look_often(&live, &topology, &depths) => if let Err(error) = failed {
                live.fault(format!("looking at the queues failed: {error}"));
            },
        }
    }
}

async fn look_often(
    live: &Live,
    topology: &Topology,
    depths: &watch::Sender<Depths>,
) -> lapin::Result<()> {
    let channel = live.connection.create_channel().await?;
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tick.tick().await;
        // A blocked connection writes nothing: the question would not leave.
        if live.blocked() {
            continue;
        }
        // No deadline: a slow broker is no dead one, and the heartbeat tells a dead one.
        depths.send_replace(look(&channel, topology).await?);
    }
}

async fn look(channel: &Channel, topology: &Topology) -> lapin::Result<Depths> {
    let mut seen = Depths::default();
    for lane in Lane::ALL {
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let name = topology.lane(lane);
        let queue = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        let count = queue.await?.message_count();
        match lane {
            Lane::First => seen.first = count,
            Lane::Retry => seen.retry = count,
            Lane::DeliveryLimit => seen.delivery_limit = count,
            Lane::Unrouted => seen.unrouted = count,
            Lane::Dead => seen.dead = count,
            Lane::Poison => seen.poison = count,
            Lane::Journal => seen.journal = count,
        }
    }
    Ok(seen)
}
