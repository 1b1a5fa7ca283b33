//! Which exchanges, queues and bindings does the gateway need, and under which names?
//!
//! The one file that spells them. Everything but the queues of waiting answers is durable; every
//! argument is explicit, so that RabbitMQ 3.10 and 4.x behave alike. `docs/lifecycle.md` shows the
//! same as a picture. `declare.rs` makes it, `export.rs` prints it.

use super::ladder::{self, LEVELS};
use crate::Lane;

mod declare;
mod export;

/// A message handed out this often without being settled goes to the delivery-limit queue: it may be
/// what kills its consumers. Far above 20 (the default of 4.x), because every message prefetched by
/// a crashing dispatcher is counted.
const DELIVERY_LIMIT: i64 = 100;

/// For queues that people and their readers look into, and for records, which wait as long as the
/// journal is away: looking, or a reader that crashes, must never lose a message, and RabbitMQ 4.x
/// drops after 20 times unless told. (-1 means "never" to 4.x, but 3.x refuses it.)
const LOOK_LIMIT: i64 = 2_000_000_000;

/// Answers that one ingress may have waiting for it, before the oldest are dropped.
const MOST_REPLIES: i64 = 10_000;

/// Longer than any caller waits. Milliseconds.
const REPLY_TTL: i64 = 60_000;

/// An argument of a queue.
#[derive(Clone, Debug, PartialEq)]
enum Argument {
    Text(String),
    Number(i64),
}

#[derive(Clone, Debug)]
struct ExchangeSpec {
    name: String,
    kind: &'static str,
    /// Where a message goes that no binding wants. The broker confirms unroutable messages, so each
    /// exchange that is published to needs one.
    alternate: Option<String>,
}

#[derive(Clone, Debug)]
struct QueueSpec {
    name: String,
    arguments: Vec<(&'static str, Argument)>,
}

#[derive(Clone, Debug)]
struct BindingSpec {
    source: String,
    destination: String,
    /// Whether the destination is an exchange rather than a queue.
    to_exchange: bool,
    routing_key: String,
}

/// The whole topology under one prefix.
#[derive(Clone, Debug)]
pub struct Topology {
    prefix: String,
    exchanges: Vec<ExchangeSpec>,
    queues: Vec<QueueSpec>,
    bindings: Vec<BindingSpec>,
}

/// Binding key of first attempts on the exchange `in`.
pub(super) const FIRST_KEY: &str = "first";

/// Binding key of records on the exchange `journal`.
pub(super) const RECORD_KEY: &str = "record";

impl Topology {
    /// The topology whose names all begin with `prefix` and a dot.
    pub fn new(prefix: &str) -> Self {
        let mut this = Self {
            prefix: prefix.to_owned(),
            exchanges: Vec::new(),
            queues: Vec::new(),
            bindings: Vec::new(),
        };
        for grave in [
            Lane::Unrouted,
            Lane::Poison,
            Lane::DeliveryLimit,
            Lane::Dead,
        ] {
            let name = this.lane(grave);
            let alternate = (grave != Lane::Unrouted).then(|| this.lane(Lane::Unrouted));
            this.exchange(name.clone(), "fanout", alternate);
            this.queue(
                name.clone(),
                vec![("x-delivery-limit", Argument::Number(LOOK_LIMIT))],
            );
            this.bind(&name, &name, false, "");
        }
        this.work(Lane::First, "in", "direct", FIRST_KEY);
        // `#`: whatever leaves the ladder is wanted. A due message without a queue would hold up its
        // whole level (32 messages in flight, tried again every 180 s).
        this.work(Lane::Retry, "due", "topic", "#");
        this.ladder();
        this.journal();
        // No alternate: an answer to an asker that has gone is dropped. An exchange of its own: on the
        // default one a reply could be addressed to any queue.
        this.exchange(this.replies(), "direct", None);
        this
    }

    /// The name of a lane's queue.
    pub fn lane(&self, lane: Lane) -> String {
        self.name(lane.as_str())
    }

    /// The exchange that first attempts are published to.
    pub(super) fn entrance(&self) -> String {
        self.name("in")
    }

    /// The exchange that answers to waiting askers are published to, by the name of their queue.
    pub(super) fn replies(&self) -> String {
        self.name("reply")
    }

    /// The queue of one asker, which nobody else has: `random` is drawn anew for each connection.
    pub(super) fn reply_queue(&self, random: u64) -> String {
        self.name(&format!("reply.{random:016x}"))
    }

    /// A queue of answers: in memory, bounded, gone with its connection. Losing one costs a caller
    /// the wait and nothing else.
    fn reply_arguments() -> Vec<(&'static str, Argument)> {
        let text = |text: &str| Argument::Text(text.to_owned());
        vec![
            ("x-queue-type", text("classic")),
            ("x-max-length", Argument::Number(MOST_REPLIES)),
            ("x-overflow", text("drop-head")),
            ("x-message-ttl", Argument::Number(REPLY_TTL)),
        ]
    }

    /// The exchange of a level of the ladder.
    pub(super) fn level(&self, level: u32) -> String {
        self.name(&format!("delay.{level:02}"))
    }

    fn name(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    fn exchange(&mut self, name: String, kind: &'static str, alternate: Option<String>) {
        self.exchanges.push(ExchangeSpec {
            name,
            kind,
            alternate,
        });
    }

    fn queue(&mut self, name: String, more: Vec<(&'static str, Argument)>) {
        let text = |text: &str| Argument::Text(text.to_owned());
        let mut arguments = vec![
            ("x-queue-type", text("quorum")), // Confirmed after a majority's fsync.
            ("x-overflow", text("reject-publish")), // A full queue says no; it never drops.
        ];
        arguments.extend(more);
        self.queues.push(QueueSpec { name, arguments });
    }

    /// A queue whose messages leave by dead-lettering: at least once, or a crash at that moment
    /// loses them.
    fn queue_onward(&mut self, name: String, onward: &str, more: (&'static str, Argument)) {
        let arguments = vec![
            ("x-dead-letter-exchange", Argument::Text(onward.to_owned())),
            (
                "x-dead-letter-strategy",
                Argument::Text("at-least-once".to_owned()),
            ),
            more,
        ];
        self.queue(name, arguments);
    }

    fn bind(&mut self, source: &str, destination: &str, to_exchange: bool, routing_key: &str) {
        self.bindings.push(BindingSpec {
            source: source.to_owned(),
            destination: destination.to_owned(),
            to_exchange,
            routing_key: routing_key.to_owned(),
        });
    }

    fn work(&mut self, lane: Lane, exchange: &str, kind: &'static str, key: &str) {
        let (queue, exchange) = (self.lane(lane), self.name(exchange));
        let limit = ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT));
        self.exchange(exchange.clone(), kind, Some(self.lane(Lane::Unrouted)));
        self.queue_onward(queue.clone(), &self.lane(Lane::DeliveryLimit), limit);
        self.bind(&exchange, &queue, false, key);
    }

    fn journal(&mut self) {
        let name = self.lane(Lane::Journal);
        self.exchange(name.clone(), "direct", Some(self.lane(Lane::Unrouted)));
        let limit = ("x-delivery-limit", Argument::Number(LOOK_LIMIT));
        self.queue(name.clone(), vec![limit]);
        self.bind(&name, &name, false, RECORD_KEY);
    }

    fn ladder(&mut self) {
        // Lowest level first: each one's way down exists before it does.
        for level in 0..LEVELS {
            let name = self.level(level);
            let below = if level == 0 {
                self.name("due")
            } else {
                self.level(level - 1)
            };
            let (stop, fall_through) = ladder::patterns(level);
            self.exchange(name.clone(), "topic", Some(self.lane(Lane::Unrouted)));
            let wait = ("x-message-ttl", Argument::Number(1_000 << level));
            self.queue_onward(name.clone(), &below, wait);
            self.bind(&name, &name, false, &stop);
            self.bind(&name, &below, true, &fall_through);
        }
    }
}
