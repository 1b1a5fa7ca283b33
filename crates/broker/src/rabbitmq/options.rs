//! How to reach RabbitMQ, and the prefix of all names there.

use super::monitor::Monitor;
use super::tls::BrokerTls;
use lapin::uri::AMQPUri;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

/// In seconds. RabbitMQ looks twice in this time whether it has sent anything, and sends a heartbeat
/// if not: a node at work is heard every 4 s at least, even when it reads nothing from us. That is
/// shorter than the time after which a node counts as silent.
const HEARTBEAT: u16 = 4;

/// Bytes in a frame, unless the URL says otherwise. lapin buffers 32 of them in each direction of
/// each connection: with RabbitMQ's 128 KiB, four connections would take 32 MiB.
const FRAME_MAX: u32 = 32 * 1024;

/// What the RabbitMQ adapter is built from.
#[derive(Clone)]
pub struct RabbitMqOptions {
    /// The nodes of the cluster; at least one.
    pub(super) nodes: Vec<AMQPUri>,
    /// What the connections that are built from these options know together.
    pub(super) monitor: Arc<Monitor>,
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
        let nodes = split_urls(urls).map(parse_node);
        Ok(Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            monitor: Arc::default(),
            tls: BrokerTls::default(),
            prefix: "ringback".to_owned(),
            declare: true,
            publish_timeout: Duration::from_secs(5),
            publish_channels: 2,
            connection_name: "ringback".to_owned(),
        })
    }
}

/// The URLs of the nodes in the setting's text: separated by commas. A comma inside a URL is left
/// alone.
pub fn split_urls(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let ends = text.match_indices(',').find(|(at, _)| {
            let next = text[at + 1..].trim_start();
            next.starts_with("amqp://") || next.starts_with("amqps://")
        });
        let Some((end, _)) = ends else {
            return Some(text.trim());
        };
        rest = Some(&text[end + 1..]);
        Some(text[..end].trim())
    })
}

fn parse_node(url: &str) -> Result<AMQPUri, String> {
    let mut uri: AMQPUri = url
        .parse()
        // The parser's own words may repeat a part of the URL.
        .map_err(|_| {
            "the broker's URL is not usable: check its port and its parameters (heartbeat, \
             channel_max, frame_max, connection_timeout, auth_mechanism)"
        })?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    if let Some(address) = ipv6_host(url) {
        uri.authority.host = address.to_owned();
    }
    Ok(uri)
}

/// The IPv6 address that is the URL's host (RFC 3986, 3.2.2), without its brackets. lapin's parser
/// ignores it and uses `localhost` instead.
fn ipv6_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, host_and_port) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (address, _) = host_and_port.strip_prefix('[')?.split_once(']')?;
    address.parse::<Ipv6Addr>().is_ok().then_some(address)
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
