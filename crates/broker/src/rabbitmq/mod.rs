//! How does RabbitMQ (3.10 to 4.x, no plugin) keep the promises of the seam?
//!
//! - `topology.rs`: every exchange, queue and binding. `ladder.rs`: delays.
//! - `link.rs`: a connection that stays up; `reconnect.rs`: the waits in between; `tls.rs`: whom it
//!   trusts.
//! - `publisher.rs`, `channel.rs`: published means confirmed.
//! - `replies.rs`: answers to those who wait, which may be lost.
//! - `consumer.rs`, `receipt.rs`: taking messages and letting them go. `depth.rs`: looking.

mod channel;
mod consumer;
mod depth;
mod ladder;
mod link;
mod publisher;
mod receipt;
mod reconnect;
mod replies;
mod tls;
mod topology;

use crate::route::Route;
use crate::{Depths, Lane, Message, PublishError, Replies, State};
use bytes::Bytes;
use lapin::uri::AMQPUri;
use link::{Link, Purpose};
use publisher::Publisher;
use replies::Addressed;
use std::net::Ipv6Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

pub(crate) use consumer::Consumer;
pub use ladder::LONGEST_DELAY;
pub(crate) use receipt::Receipt;
pub use tls::{Identity, Tls, TlsError};
pub use topology::Topology;

/// A peer that says nothing for two beats is dead (lapin looks twice in a beat). Seconds.
const HEARTBEAT: u16 = 10;

/// Bytes in a frame, unless the URL says otherwise. lapin keeps room for 32 of them in each direction
/// of each connection: 16 MiB for two connections at RabbitMQ's 128 KiB.
const FRAME_MAX: u32 = 32 * 1024;

/// Bytes in a name. A longer one would break the frame that it is written into.
const LONGEST_NAME: usize = 255;

/// How to reach the broker, and what to call things there.
#[derive(Clone)]
pub struct Settings {
    uri: AMQPUri,
    /// Whom an `amqps://` connection trusts. Not used for `amqp://`.
    pub tls: Tls,
    /// All names in the broker begin with it.
    pub prefix: String,
    /// Whether to declare the topology, or only to check that it is there.
    pub declare: bool,
    /// How long a publish may wait for its confirm.
    pub publish_timeout: Duration,
    /// Confirm channels, each with its task.
    pub publish_channels: usize,
    /// Shown in the broker's console.
    pub connection_name: String,
}

impl Settings {
    /// Settings with the usual values, for the broker at `url` (`amqp://` or `amqps://`).
    ///
    /// # Errors
    /// A sentence when the URL cannot be read. It never contains the URL, which may hold a password.
    pub fn new(url: &str) -> Result<Self, String> {
        let mut uri: AMQPUri = url
            .parse()
            .map_err(|error| format!("the broker's URL is not usable: {error}"))?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        if let Some(address) = ipv6(url) {
            uri.authority.host = address.to_owned();
        }
        Ok(Self {
            uri,
            tls: Tls::default(),
            prefix: "ringback".to_owned(),
            declare: true,
            publish_timeout: Duration::from_secs(5),
            publish_channels: 2,
            connection_name: "ringback".to_owned(),
        })
    }
}

/// The IPv6 address that is the URL's host (RFC 3986, 3.2.2), without its brackets. lapin's parser
/// passes over it and takes `localhost` in its place.
fn ipv6(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (address, _) = place.strip_prefix('[')?.split_once(']')?;
    address.parse::<Ipv6Addr>().is_ok().then_some(address)
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The gateway's side of a RabbitMQ broker. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RabbitMq(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    topology: Arc<Topology>,
    publish_link: Link,
    publisher: Publisher,
    /// A connection of its own: a blocked publisher's connection writes nothing, not even acks.
    consume_link: OnceLock<Link>,
    answers: mpsc::Sender<Addressed>,
    depths: watch::Receiver<Depths>,
}

impl RabbitMq {
    pub(crate) fn start(settings: Settings) -> Result<Self, String> {
        if settings.publish_channels == 0 {
            return Err("at least one publish channel is needed".to_owned());
        }
        let settings = Arc::new(settings);
        let topology = Arc::new(Topology::new(&settings.prefix));
        let publish_link = Link::start(
            Arc::clone(&settings),
            Arc::clone(&topology),
            Purpose::Publish,
        );
        let publisher = Publisher::start(publish_link.clone(), Arc::clone(&topology), &settings);
        let (sender, depths) = watch::channel(Depths::default());
        tokio::spawn(depth::watch_depths(
            publish_link.clone(),
            Arc::clone(&topology),
            sender,
        ));
        let consume_link = OnceLock::new();
        let answers = replies::answer(publish_link.clone(), &topology);
        Ok(Self(Arc::new(Inner {
            settings,
            topology,
            publish_link,
            publisher,
            consume_link,
            answers,
            depths,
        })))
    }

    pub(crate) async fn publish(
        &self,
        route: &Route,
        message: Message,
    ) -> Result<(), PublishError> {
        self.0.publisher.publish(route, message).await
    }

    pub(crate) fn consume(&self, lane: Lane, prefetch: u16) -> Consumer {
        let (link, publisher) = (self.consume_link().clone(), self.0.publisher.clone());
        Consumer::new(link, publisher, self.0.topology.lane(lane), lane, prefetch)
    }

    fn consume_link(&self) -> &Link {
        self.0.consume_link.get_or_init(|| {
            Link::start(
                Arc::clone(&self.0.settings),
                Arc::clone(&self.0.topology),
                Purpose::Consume,
            )
        })
    }

    pub(crate) fn replies(&self) -> Replies {
        // On the connection that publishes: whoever asks has it anyway, and its being blocked does
        // not stop what comes in.
        replies::listen(self.0.publish_link.clone(), Arc::clone(&self.0.topology))
    }

    pub(crate) fn reply(&self, address: String, reply: Bytes) {
        if address.len() <= LONGEST_NAME {
            // Full, or closed: dropped.
            let _ = self.0.answers.try_send((address, reply));
        }
    }

    pub(crate) fn publishing(&self) -> watch::Receiver<State> {
        self.0.publish_link.state()
    }

    pub(crate) fn consuming(&self) -> watch::Receiver<State> {
        self.consume_link().state()
    }

    pub(crate) fn depths(&self) -> watch::Receiver<Depths> {
        self.0.depths.clone()
    }

    pub(crate) async fn close(&self) {
        if let Some(link) = self.0.consume_link.get() {
            link.close().await;
        }
        self.0.publish_link.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_of_the_urls_own_wins() {
        for (url, seconds) in [
            ("amqp://h", 10),
            ("amqps://u:p@h/v?connection_timeout=5", 10),
            ("amqps://u:p@h/v?heartbeat=3", 3),
            ("amqp://h?heartbeat=0", 0),
            ("amqp://h?heartbeat=600", 600),
        ] {
            let settings = Settings::new(url).unwrap();
            assert_eq!(settings.uri.query.heartbeat, Some(seconds), "{url}");
        }
    }

    #[test]
    fn a_host_is_what_a_resolver_and_a_certificate_call_it() {
        for (url, host, port) in [
            ("amqps://broker.example", "broker.example", 5671),
            ("amqps://u:p@[::1]/v", "::1", 5671),
            ("amqp://[fd00::7]:5673", "fd00::7", 5673),
            ("amqp://u:%5B%3A%3A1%5D@h/%2f?heartbeat=5", "h", 5672),
            ("amqp://h/[::1]", "h", 5672),
            ("amqp://127.0.0.1", "127.0.0.1", 5672),
        ] {
            let authority = Settings::new(url).unwrap().uri.authority;
            assert_eq!((&*authority.host, authority.port), (host, port), "{url}");
        }
    }
}
