//! How to reach RabbitMQ, and the prefix of all names there.

use super::credentials::CurrentCredentials;
use super::monitor::Monitor;
use super::node_urls::parse_nodes;
use super::tls::BrokerTls;
use lapin::uri::AMQPUri;
use std::sync::Arc;
use std::time::Duration;

/// What the RabbitMQ adapter is built from.
#[derive(Clone)]
pub struct RabbitMqOptions {
    /// The nodes of the cluster; at least one.
    pub(super) nodes: Vec<AMQPUri>,
    /// What the connections that are built from these options know together.
    pub(super) monitor: Arc<Monitor>,
    /// Newer users and passwords than those of `nodes`.
    pub(super) credentials: Arc<CurrentCredentials>,
    /// Certificates of an `amqps://` connection. Not used for `amqp://`.
    pub tls: BrokerTls,
    /// The prefix of all names in the broker.
    pub prefix: String,
    /// Whether to declare the topology, or only to check that it exists.
    pub declare: bool,
    /// How long a publish may wait for its confirm.
    pub publish_timeout: Duration,
    /// The number of confirm channels, each with its task.
    pub publish_channels: usize,
    /// Shown in the broker's console.
    pub connection_name: String,
}

impl RabbitMqOptions {
    /// Options with the default values, for the broker at `urls` (`amqp://` or `amqps://`; several
    /// nodes of one cluster are separated by commas).
    ///
    /// # Errors
    /// A sentence when a URL cannot be parsed. It never contains the URL, which may hold a
    /// password.
    pub fn new(urls: &str) -> Result<Self, String> {
        Ok(Self {
            nodes: parse_nodes(urls)?,
            monitor: Arc::default(),
            credentials: Arc::default(),
            tls: BrokerTls::default(),
            prefix: "ringback".to_owned(),
            declare: true,
            publish_timeout: Duration::from_secs(5),
            publish_channels: 2,
            connection_name: "ringback".to_owned(),
        })
    }
}

/// Without the URIs, which may hold a password.
impl std::fmt::Debug for RabbitMqOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authorities = self.nodes.iter().map(|node| &node.authority);
        let nodes = authorities.map(|it| format!("{}:{}", it.host, it.port));
        f.debug_struct("RabbitMqOptions")
            .field("nodes", &nodes.collect::<Vec<_>>())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_own_heartbeat_wins() {
        for (url, seconds) in [
            ("amqp://h", 4),
            ("amqps://u:p@h/v?connection_timeout=5", 4),
            ("amqps://u:p@h/v?heartbeat=3", 3),
            ("amqp://h?heartbeat=0", 0),
            ("amqp://h?heartbeat=600", 600),
        ] {
            let options = RabbitMqOptions::new(url).unwrap();
            assert_eq!(options.nodes[0].query.heartbeat, Some(seconds), "{url}");
        }
    }

    #[test]
    fn a_url_without_a_virtual_host_means_the_default_one() {
        for (url, vhost) in [
            ("amqp://h", "/"),
            ("amqp://h/", "/"),
            ("amqp://h/?heartbeat=5", "/"),
            ("amqp://h/%2f", "/"),
            ("amqp://h/shop", "shop"),
        ] {
            let node = RabbitMqOptions::new(url).unwrap().nodes.remove(0);
            assert_eq!(node.vhost, vhost, "{url}");
        }
    }

    #[test]
    fn the_host_is_what_a_resolver_and_a_certificate_call_it() {
        for (url, host, port) in [
            ("amqps://broker.example", "broker.example", 5671),
            ("amqps://u:p@[::1]/v", "::1", 5671),
            ("amqp://[fd00::7]:5673", "fd00::7", 5673),
            ("amqp://u:%5B%3A%3A1%5D@h/%2f?heartbeat=5", "h", 5672),
            ("amqp://h/[::1]", "h", 5672),
            ("amqp://127.0.0.1", "127.0.0.1", 5672),
        ] {
            let authority = RabbitMqOptions::new(url).unwrap().nodes.remove(0).authority;
            assert_eq!((&*authority.host, authority.port), (host, port), "{url}");
        }
    }

    #[test]
    fn several_nodes_are_separated_by_commas() {
        for (text, hosts) in [
            ("amqp://a", &["a"][..]),
            ("amqp://u:p,w@a,amqp://u:p@b:5673/v", &["a", "b"]),
            (" amqps://a , amqps://b,amqps://c ", &["a", "b", "c"]),
        ] {
            let nodes = RabbitMqOptions::new(text).unwrap().nodes;
            let found: Vec<&str> = nodes.iter().map(|it| &*it.authority.host).collect();
            assert_eq!(found, hosts, "{text}");
        }
        assert!(RabbitMqOptions::new("amqp://a,amqp://b:port").is_err());
    }
}
