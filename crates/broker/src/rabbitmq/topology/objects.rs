//! The exchanges, queues and bindings that the gateway needs, and their names.
//!
//! No other file spells these names. Everything but the queues of replies is durable. Every
//! argument is explicit, so that RabbitMQ 3.10 and 4.x behave alike.
//! `docs/reference/rabbitmq-objects.md` explains each object, and reserves names for future ones.

use super::delay::{LEVELS, LevelKeys};
use crate::message::Queue;

/// A message that is delivered this often without being settled goes to the delivery-limit queue:
/// it may be what crashes its consumers. Far above 20 (the default of 4.x), because every message
/// prefetched by a crashing dispatcher is counted.
const DELIVERY_LIMIT: i64 = 100;

/// Practically never. For queues that people and tools read without settling, and for records,
/// which wait while the journal is down: neither reading nor a crashing consumer may lose a
/// message, and by default RabbitMQ 4.x drops it after 20 deliveries. (-1 means "never" in 4.x, but
/// 3.x refuses it.)
const NO_DELIVERY_LIMIT: i64 = 2_000_000_000;

/// Replies that may wait for one process, before the oldest are dropped.
const MAX_REPLIES: i64 = 10_000;

/// In milliseconds; longer than any caller waits.
const REPLY_TTL: i64 = 60_000;

/// Control messages that may wait for one process, before the oldest are dropped.
const MAX_CONTROL: i64 = 1_000;

/// In milliseconds: a question has a deadline far below it, and a command is repeated.
const CONTROL_TTL: i64 = 10_000;

/// Routing key of first attempts on the exchange `in`.
pub(in crate::rabbitmq) const FIRST_KEY: &str = "first";

/// Routing key of records on the exchange `journal`.
pub(in crate::rabbitmq) const RECORD_KEY: &str = "record";

/// The value of a queue's argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument {
    Text(String),
    Number(i64),
}

pub(super) type Arguments = Vec<(&'static str, Argument)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangeType {
    Direct,
    Fanout,
    Topic,
}

impl ExchangeType {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct ExchangeSpec {
    pub(super) name: String,
    pub(super) kind: ExchangeType,
    /// Where a message goes that matches no binding. The broker confirms unroutable messages, so
    /// each exchange with confirmed publishes needs one.
    pub(super) alternate: Option<String>,
    pub(super) purpose: String,
    /// Whether the gateway's work needs it. Without one that does not, a process starts all the same.
    pub(super) is_needed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct QueueSpec {
    pub(super) name: String,
    pub(super) arguments: Arguments,
    pub(super) purpose: String,
}

#[derive(Clone, Debug)]
pub(super) struct BindingSpec {
    pub(super) source: String,
    pub(super) destination: String,
    /// Whether the destination is an exchange rather than a queue.
    pub(super) to_exchange: bool,
    pub(super) routing_key: String,
}

/// The whole topology under one prefix.
#[derive(Clone, Debug)]
pub struct Topology {
    prefix: String,
    pub(super) exchanges: Vec<ExchangeSpec>,
    pub(super) queues: Vec<QueueSpec>,
    pub(super) bindings: Vec<BindingSpec>,
}

impl Topology {
    /// The topology whose names all begin with `prefix` and a dot.
    pub fn new(prefix: &str) -> Self {
        let mut this = Self {
            prefix: prefix.to_owned(),
            exchanges: Vec::new(),
            queues: Vec::new(),
            bindings: Vec::new(),
        };
        this.add_terminal(Queue::Unrouted, "messages that matched no binding");
        this.add_terminal(
            Queue::Unreadable,
            "messages that cannot be decoded, as received",
        );
        this.add_terminal(
            Queue::DeliveryLimit,
            "messages delivered too often without being settled",
        );
        this.add_terminal(Queue::Dead, "dead letters");
        this.add_work(
            Queue::First,
            "in",
            ExchangeType::Direct,
            FIRST_KEY,
            "first attempts",
        );
        // `#`: everything that leaves the delay queues has a destination. A due message without one
        // would block its whole level (32 messages in flight, retried every 180 s).
        this.add_work(
            Queue::Retry,
            "due",
            ExchangeType::Topic,
            "#",
            "retries and deferred work that are due",
        );
        this.add_delay_queues();
        this.add_journal();
        // No alternate: a reply to a process that has ended is dropped. Not the default exchange,
        // on which a reply could be addressed to any queue.
        this.add_exchange(
            this.reply_exchange(),
            ExchangeType::Direct,
            None,
            "replies, routed by the name of the listener's queue",
        );
        this.add_control();
        this
    }

    /// The name of an object without the prefix, for logs and states.
    pub(in crate::rabbitmq) fn short<'a>(&self, name: &'a str) -> &'a str {
        let short = name.strip_prefix(&*self.prefix);
        let short = short.and_then(|rest| rest.strip_prefix('.'));
        short.unwrap_or(name)
    }

    /// The name of a queue in the broker.
    pub fn queue_name(&self, queue: Queue) -> String {
        self.name(queue.as_str())
    }

    /// The exchange that first attempts are published to.
    pub(in crate::rabbitmq) fn first_exchange(&self) -> String {
        self.name("in")
    }

    /// The exchange that a delay ends at.
    pub(in crate::rabbitmq) fn due_exchange(&self) -> String {
        self.name("due")
    }

    /// The exchange that replies are published to, by the name of the listener's queue.
    pub(in crate::rabbitmq) fn reply_exchange(&self) -> String {
        self.name("reply")
    }

    /// The queue of one listener; `random` is drawn for each connection, which makes it unique.
    pub(in crate::rabbitmq) fn reply_queue(&self, random: u64) -> String {
        self.name(&format!("reply.{random:016x}"))
    }

    /// A queue of replies: in memory, bounded, deleted with its connection. Losing a reply costs a
    /// caller the wait and nothing else.
    pub(super) fn reply_arguments() -> Arguments {
        let text = |text: &str| Argument::Text(text.to_owned());
        vec![
            ("x-queue-type", text("classic")),
            ("x-max-length", Argument::Number(MAX_REPLIES)),
            ("x-overflow", text("drop-head")),
            ("x-message-ttl", Argument::Number(REPLY_TTL)),
        ]
    }

    /// The exchange that reaches all processes.
    pub(in crate::rabbitmq) fn control_exchange(&self) -> String {
        self.name("control")
    }

    /// The queue of one process, as [`Topology::reply_queue`]. Users may configure names that begin
    /// with `reply.`.
    pub(in crate::rabbitmq) fn control_queue(&self, random: u64) -> String {
        self.name(&format!("reply.control.{random:016x}"))
    }

    /// A process that does not read must cost no memory, and what is older is worthless.
    pub(super) fn control_arguments() -> Arguments {
        let text = |text: &str| Argument::Text(text.to_owned());
        vec![
            ("x-queue-type", text("classic")),
            ("x-max-length", Argument::Number(MAX_CONTROL)),
            ("x-overflow", text("drop-head")),
            ("x-message-ttl", Argument::Number(CONTROL_TTL)),
        ]
    }

    /// The exchange, and the queue, of a delay level.
    pub(in crate::rabbitmq) fn delay_level(&self, level: u32) -> String {
        self.name(&format!("delay.{level:02}"))
    }

    fn name(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    fn add_exchange(
        &mut self,
        name: String,
        kind: ExchangeType,
        alternate: Option<String>,
        purpose: &str,
    ) {
        self.exchanges.push(ExchangeSpec {
            name,
            kind,
            alternate,
            purpose: purpose.to_owned(),
            is_needed: true,
        });
    }

    /// No alternate: with no process listening there is nothing to keep.
    fn add_control(&mut self) {
        self.exchanges.push(ExchangeSpec {
            name: self.control_exchange(),
            kind: ExchangeType::Fanout,
            alternate: None,
            purpose: "questions and commands to all processes".to_owned(),
            is_needed: false,
        });
    }

    fn add_queue(&mut self, name: String, more: Arguments, purpose: &str) {
        let text = |text: &str| Argument::Text(text.to_owned());
        let mut arguments = vec![
            ("x-queue-type", text("quorum")), // Confirmed after a majority's fsync.
            ("x-overflow", text("reject-publish")), // A full queue nacks; it never drops.
        ];
        arguments.extend(more);
        self.queues.push(QueueSpec {
            name,
            arguments,
            purpose: purpose.to_owned(),
        });
    }

    /// Adds a queue whose messages leave by dead-lettering: at least once, or a crash at that
    /// moment loses them.
    fn add_dead_lettering_queue(
        &mut self,
        name: String,
        dead_letter_exchange: String,
        more: (&'static str, Argument),
        purpose: &str,
    ) {
        let strategy = Argument::Text("at-least-once".to_owned());
        let arguments = vec![
            (
                "x-dead-letter-exchange",
                Argument::Text(dead_letter_exchange),
            ),
            ("x-dead-letter-strategy", strategy),
            more,
        ];
        self.add_queue(name, arguments, purpose);
    }

    fn bind_queue(&mut self, exchange: &str, queue: &str, routing_key: &str) {
        self.bind(exchange, queue, false, routing_key);
    }

    fn bind(&mut self, source: &str, destination: &str, to_exchange: bool, routing_key: &str) {
        self.bindings.push(BindingSpec {
            source: source.to_owned(),
            destination: destination.to_owned(),
            to_exchange,
            routing_key: routing_key.to_owned(),
        });
    }

    fn add_terminal(&mut self, queue: Queue, purpose: &str) {
        let name = self.queue_name(queue);
        let alternate = (queue != Queue::Unrouted).then(|| self.queue_name(Queue::Unrouted));
        self.add_exchange(name.clone(), ExchangeType::Fanout, alternate, purpose);
        let limit = ("x-delivery-limit", Argument::Number(NO_DELIVERY_LIMIT));
        self.add_queue(name.clone(), vec![limit], purpose);
        self.bind_queue(&name, &name, "");
    }

    fn add_work(
        &mut self,
        queue: Queue,
        exchange: &str,
        kind: ExchangeType,
        key: &str,
        purpose: &str,
    ) {
        let (name, exchange) = (self.queue_name(queue), self.name(exchange));
        let unrouted = self.queue_name(Queue::Unrouted);
        self.add_exchange(exchange.clone(), kind, Some(unrouted), purpose);
        let limit = ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT));
        let dead_letter_exchange = self.queue_name(Queue::DeliveryLimit);
        self.add_dead_lettering_queue(name.clone(), dead_letter_exchange, limit, purpose);
        self.bind_queue(&exchange, &name, key);
    }

    fn add_journal(&mut self) {
        let name = self.queue_name(Queue::Journal);
        let purpose = "batches of records for the journal";
        let unrouted = self.queue_name(Queue::Unrouted);
        self.add_exchange(name.clone(), ExchangeType::Direct, Some(unrouted), purpose);
        let limit = ("x-delivery-limit", Argument::Number(NO_DELIVERY_LIMIT));
        self.add_queue(name.clone(), vec![limit], purpose);
        self.bind_queue(&name, &name, RECORD_KEY);
    }

    fn add_delay_queues(&mut self) {
        // Lowest level first: each level's dead-letter exchange exists before its queue does.
        for level in 0..LEVELS {
            let name = self.delay_level(level);
            let below = match level {
                0 => self.name("due"),
                level => self.delay_level(level - 1),
            };
            let bit = format!("delays with the bit of 2^{level} s");
            let unrouted = self.queue_name(Queue::Unrouted);
            self.add_exchange(name.clone(), ExchangeType::Topic, Some(unrouted), &bit);
            let wait = ("x-message-ttl", Argument::Number(1_000 << level));
            let wait_purpose = format!("holds a message for {} s", 1_u32 << level);
            self.add_dead_lettering_queue(name.clone(), below.clone(), wait, &wait_purpose);
            let keys = LevelKeys::new(level);
            self.bind_queue(&name, &name, &keys.queue);
            self.bind(&name, &below, true, &keys.skip);
        }
    }
}
