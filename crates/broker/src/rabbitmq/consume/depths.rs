//! Reads the depth of every queue.

use crate::message::Queue;
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::topology::objects::Topology;
use crate::state::Depths;
use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the depths once a second while the broker is up, by passive declares, which need no
/// permission and no plugin.
pub(in crate::rabbitmq) async fn watch_depths(
    connection: ManagedConnection,
    topology: Arc<Topology>,
    depths: watch::Sender<Depths>,
) {
    while let Some(session) = connection.session().await {
        tokio::select! {
            () = session.down.cancelled() => {}
            failed = poll_depths(&session, &topology, &depths) => if let Err(error) = failed {
                session.fail(format!("reading the queues' depths failed: {error}"));
            },
        }
    }
}

async fn poll_depths(
    session: &Session,
    topology: &Topology,
    depths: &watch::Sender<Depths>,
) -> lapin::Result<()> {
    let channel = session.connection.create_channel().await?;
    let mut interval = tokio::time::interval(POLL_INTERVAL);
    loop {
        interval.tick().await;
        // A blocked connection writes nothing, so the request would not leave.
        if session.is_blocked() {
            continue;
        }
        // No timeout: the broker may only be slow, and the heartbeat detects a lost connection.
        depths.send_replace(read_depths(&channel, topology).await?);
    }
}

async fn read_depths(channel: &Channel, topology: &Topology) -> lapin::Result<Depths> {
    let mut depths = Depths::default();
    for queue in Queue::ALL {
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let name = topology.queue_name(queue);
        let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        depths.set(queue, declared.await?.message_count());
    }
    Ok(depths)
}
