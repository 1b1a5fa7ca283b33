//! A gateway's queues, seen from outside the gateway.

use std::collections::BTreeMap;

use broker::rabbitmq::Topology;
use serde_json::Value;

use super::store::Store;
use crate::RabbitMq;
use crate::queue_message::QueueMessage;

/// The queues of a gateway. Their names lack the gateway's prefix, for instance `first`, `retry`,
/// `dead`.
#[derive(Debug)]
pub(super) enum Queues<'a> {
    RabbitMq {
        rabbit: &'a RabbitMq,
        prefix: String,
    },
    Embedded(Store),
}

impl Queues<'_> {
    pub(super) async fn depth(&self, queue: &str) -> Result<u32, String> {
        match self {
            Self::RabbitMq { rabbit, prefix } => rabbit.depth(&format!("{prefix}.{queue}")).await,
            Self::Embedded(store) => Ok(store.depths()?.remove(queue).unwrap_or(0)),
        }
    }

    /// Every queue that is not empty.
    pub(super) async fn depths(&self) -> Result<BTreeMap<String, u32>, String> {
        match self {
            Self::RabbitMq { rabbit, prefix } => {
                let queues = all(prefix);
                let names = queues.iter().map(|queue| format!("{prefix}.{queue}"));
                let depths = rabbit.depths(names).await?;
                let waiting = queues.into_iter().zip(depths);
                Ok(waiting.filter(|(_, depth)| *depth > 0).collect())
            }
            Self::Embedded(store) => store.depths(),
        }
    }

    pub(super) async fn take(&self, queue: &str) -> Result<Option<QueueMessage>, String> {
        match self {
            Self::RabbitMq { rabbit, prefix } => rabbit.take(&format!("{prefix}.{queue}")).await,
            Self::Embedded(store) => store.take(queue),
        }
    }

    /// All messages in all queues, with the queue's name.
    pub(super) async fn take_all(&self) -> Result<Vec<(String, QueueMessage)>, String> {
        match self {
            Self::RabbitMq { rabbit, prefix } => {
                let mut found = Vec::new();
                for queue in all(prefix) {
                    let taken = rabbit.take_all(&format!("{prefix}.{queue}")).await?;
                    found.extend(taken.into_iter().map(|taken| (queue.clone(), taken)));
                }
                Ok(found)
            }
            Self::Embedded(store) => store.all(),
        }
    }
}

impl Drop for Queues<'_> {
    fn drop(&mut self) {
        if let Self::RabbitMq { rabbit, prefix } = self {
            let queues = all(prefix).into_iter();
            let names = queues.map(|queue| format!("{prefix}.{queue}")).collect();
            rabbit.delete_soon(names);
        }
    }
}

/// All queues in RabbitMQ of a gateway with this prefix.
fn all(prefix: &str) -> Vec<String> {
    let definitions = Topology::new(prefix).definitions("/");
    let queues = definitions["queues"].as_array();
    let name = |queue: &Value| {
        let name = queue["name"].as_str()?.strip_prefix(prefix)?;
        name.strip_prefix('.').map(str::to_owned)
    };
    queues.into_iter().flatten().filter_map(name).collect()
}
