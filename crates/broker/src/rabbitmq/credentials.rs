//! Users and passwords of the nodes. They may change while the process runs: a new connection uses
//! the latest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lapin::uri::{AMQPAuthority, AMQPUserInfo};

use super::node_urls::parse_nodes;

/// The users and passwords of a broker's URL. It has no `Debug` output.
#[derive(Clone)]
pub struct BrokerCredentials(Vec<AMQPAuthority>);

impl BrokerCredentials {
    /// Those of `urls`; see [`RabbitMqOptions::new`](super::RabbitMqOptions::new).
    ///
    /// # Errors
    /// A sentence when a URL cannot be parsed. It never contains the URL.
    pub fn of(urls: &str) -> Result<Self, String> {
        let nodes = parse_nodes(urls)?.into_iter();
        Ok(Self(nodes.map(|node| node.authority).collect()))
    }
}

/// What new connections use.
#[derive(Default)]
pub(super) struct CurrentCredentials(Mutex<Option<BrokerCredentials>>);

impl CurrentCredentials {
    fn current(&self) -> MutexGuard<'_, Option<BrokerCredentials>> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what new connections use.
    pub(super) fn set(&self, new: BrokerCredentials) {
        *self.current() = Some(new);
    }

    /// The user and the password for the node at this position and address. `None`: those of the
    /// options. A node at another address may belong to another cluster.
    pub(super) fn of(&self, position: usize, node: &AMQPAuthority) -> Option<AMQPUserInfo> {
        let current = self.current();
        let found = current.as_ref()?.0.get(position)?;
        let same = found.host == node.host && found.port == node.port;
        same.then(|| found.userinfo.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_connection_to_the_same_node_uses_the_new_password() {
        let nodes = BrokerCredentials::of("amqp://a:one@h,amqp://a:one@i:7/v").unwrap();
        let current = CurrentCredentials::default();
        let password = |at: usize| current.of(at, &nodes.0[at]).map(|it| it.password);
        assert_eq!(password(0), None);
        current.set(BrokerCredentials::of("amqp://a:two@h,amqp://a:three@i:7/v").unwrap());
        assert_eq!(password(0).as_deref(), Some("two"));
        assert_eq!(password(1).as_deref(), Some("three"));
        current.set(BrokerCredentials::of("amqp://a:four@h,amqp://a:five@other").unwrap());
        assert_eq!(password(0).as_deref(), Some("four"));
        assert_eq!(password(1), None, "another node has moved in");
    }
}
