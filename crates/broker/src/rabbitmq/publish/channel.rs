//! The task that owns one confirm channel.

use super::health::PublishHealth;
use super::outstanding::{GIVE_UP_AFTER, MAX_IN_FLIGHT, Outstanding};
use super::remedy::Remedy;
use super::standing::ChannelStanding;
use crate::message::BrokerMessage;
use crate::publish_error::{PublishError, RefusedReason, UnknownReason};
use crate::rabbitmq::connection::Session;
use crate::rabbitmq::topology::target_queue::{Address, DESTINATIONS, TargetQueue};
use failpoints::crash_point;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

const PERSISTENT: u8 = 2;
/// Requests that wait until their queue has room on this channel.
const MAX_WAITING: usize = 1_024;
/// How often deadlines are looked at, while there is anything in flight.
const TICK: Duration = Duration::from_millis(100);
/// After an alarm, the time within which a missed deadline says nothing about its queue.
const AFTER_BLOCK: Duration = Duration::from_secs(10);
/// A channel that is given back is closed within this time, or left to the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A message to publish, and the publisher that waits for the answer.
#[derive(Debug)]
pub(super) struct PublishRequest {
    pub(super) address: Address,
    pub(super) message: BrokerMessage,
    /// When a caller is told that the result is unknown, and the queue counts as silent.
    pub(super) deadline: Instant,
    /// Whether the publisher waits on after the deadline.
    pub(super) patient: bool,
    pub(super) reply: Reply,
}

type Reply = oneshot::Sender<Result<(), PublishError>>;

/// What a channel's task needs beside its channel and its inbox.
#[derive(Debug, Clone)]
pub(super) struct ChannelContext {
    pub(super) session: Arc<Session>,
    pub(super) health: Arc<PublishHealth>,
    pub(super) standing: Arc<ChannelStanding>,
    /// Cancelled when another channel takes over: what is in flight is still waited for.
    pub(super) retire: CancellationToken,
    /// Remedies that the channel's task cannot apply itself.
    pub(super) remedies: mpsc::Sender<Remedy>,
}

/// Why a channel's task has ended.
#[derive(Debug)]
pub(super) enum ChannelEnd {
    /// The session has ended, or the channel was retired.
    Done,
    /// The channel has failed, and the connection has not: another one is needed.
    Lost(String),
}

/// What a confirm says about the whole channel.
enum Verdict {
    Healthy,
    Faulty(String),
}

type Confirm = (u64, lapin::Result<Confirmation>);

/// Publishes requests until the session ends or the channel is retired. Requests that have not been
/// written by then are refused; those in flight see their reply dropped, which means unknown.
pub(super) async fn run(
    channel: Channel,
    mut inbox: mpsc::Receiver<PublishRequest>,
    context: ChannelContext,
) -> ChannelEnd {
    let mut requests = Requests::new(context.clone());
    let mut in_flight = FuturesUnordered::new();
    let mut batch = Vec::with_capacity(MAX_IN_FLIGHT);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut open, mut retiring) = (true, false);
    let end = loop {
        tokio::select! {
            biased;
            () = context.session.down.cancelled() => break ChannelEnd::Done,
            Some((id, confirmed)) = in_flight.next(), if !in_flight.is_empty() => {
                match requests.confirmed(id, confirmed) {
                    Verdict::Healthy => {}
                    Verdict::Faulty(reason) => break ChannelEnd::Lost(reason),
                }
            }
            received = inbox.recv_many(&mut batch, MAX_IN_FLIGHT), if open => {
                open = received > 0;
                batch.drain(..).for_each(|request| requests.take(request));
            }
            _ = tick.tick(), if requests.is_waiting() => requests.pass_time(Instant::now()),
            () = context.retire.cancelled(), if !retiring => {
                retiring = true;
                inbox.close();
            }
        }
        while let Some((id, address, message)) = requests.next_publish() {
            // First polled in this order and by this task only, which keeps the tag and the frame
            // of each message together.
            in_flight.push(publish(channel.clone(), id, address, message));
        }
        if !open && requests.is_answered() {
            break ChannelEnd::Done;
        }
    };
    requests.end();
    inbox.close();
    while let Some(request) = inbox.recv().await {
        refuse(request.reply, RefusedReason::NotConnected);
    }
    if !context.session.down.is_cancelled() {
        // What is unconfirmed stays unknown. An error means that it is closed already.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, channel.close(200, "OK".into())).await;
    }
    end
}

fn refuse(reply: Reply, reason: RefusedReason) {
    // The publisher may have stopped waiting.
    let _ = reply.send(Err(PublishError::Refused(reason)));
}

fn unknown(reply: Reply, reason: UnknownReason) {
    let _ = reply.send(Err(PublishError::Unknown(reason)));
}

/// The requests of one channel: waiting, and in flight.
struct Requests {
    context: ChannelContext,
    waiting: [VecDeque<PublishRequest>; DESTINATIONS],
    waiting_count: usize,
    outstanding: Outstanding<Reply>,
    /// Set when a queue that has requests waiting may have room.
    ready: VecDeque<TargetQueue>,
    /// When the broker was last seen to block publishers.
    blocked_at: Option<Instant>,
}

impl Requests {
    fn new(context: ChannelContext) -> Self {
        Self {
            context,
            waiting: std::array::from_fn(|_| VecDeque::new()),
            waiting_count: 0,
            outstanding: Outstanding::default(),
            ready: VecDeque::new(),
            blocked_at: None,
        }
    }

    /// Takes a request: it waits for room, or is refused.
    fn take(&mut self, request: PublishRequest) {
        let destination = request.address.destination;
        let queue = &mut self.waiting[destination.index()];
        if self.waiting_count >= MAX_WAITING && !self.outstanding.has_room(destination) {
            return refuse(request.reply, RefusedReason::InboxFull);
        }
        if queue.is_empty() {
            self.ready.push_back(destination);
        }
        queue.push_back(request);
        self.waiting_count += 1;
    }

    /// The next request that may be written now, noted as in flight.
    fn next_publish(&mut self) -> Option<(u64, Address, BrokerMessage)> {
        while let Some(destination) = self.ready.front().copied() {
            let has_room = self.outstanding.has_room(destination);
            let queue = &mut self.waiting[destination.index()];
            let request = match has_room {
                true => queue.pop_front(),
                false => None,
            };
            let Some(request) = request else {
                self.ready.pop_front();
                continue;
            };
            self.waiting_count -= 1;
            let now = Instant::now();
            let Some(request) = self.publishable(request, now) else {
                continue;
            };
            let PublishRequest {
                address,
                message,
                deadline,
                patient,
                reply,
            } = request;
            let table = &mut self.outstanding;
            let id = table.begin(destination, now, deadline, patient, reply);
            return Some((id, address, message));
        }
        None
    }

    /// Passes a request that may be written now; refuses it otherwise.
    fn publishable(&self, request: PublishRequest, now: Instant) -> Option<PublishRequest> {
        let destination = request.address.destination;
        let refused = if request.reply.is_closed() {
            // The publisher stopped waiting, and nothing was written.
            return None;
        } else if self.context.session.is_blocked() {
            RefusedReason::Blocked
        } else if self.context.health.is_missing(destination) {
            RefusedReason::Missing
        } else if self.context.health.is_refusing(destination) {
            RefusedReason::Unconfirmed
        } else if request.deadline <= now {
            RefusedReason::TooLate
        } else {
            return Some(request);
        };
        refuse(request.reply, refused);
        None
    }

    /// Answers a publisher, and learns about its queue.
    fn confirmed(&mut self, id: u64, confirmed: lapin::Result<Confirmation>) -> Verdict {
        let now = Instant::now();
        let acked = match &confirmed {
            Ok(Confirmation::Ack(None)) => true,
            Ok(Confirmation::Nack(None)) => false,
            _ => return self.failed(id, confirmed, now),
        };
        let Some(publish) = self.outstanding.confirmed(id, acked, now) else {
            return Verdict::Healthy; // Given up before.
        };
        let (destination, health) = (publish.destination, &self.context.health);
        if acked {
            self.context.standing.confirmed(destination);
            health.acked(destination, publish.published, publish.overdue);
        } else {
            self.context.standing.answered(destination);
            let remedy = health.nacked(destination, publish.overdue, now);
            self.apply(destination, remedy, "nacked late");
            if publish.lasting_nacks {
                let remedy = health.lasting_nacks(destination, now);
                self.apply(destination, remedy, "nacked");
            }
        }
        if let Some(reply) = publish.reply {
            // If the publisher has stopped waiting, the message is durable and delivered anyway.
            let nacked = PublishError::Unknown(UnknownReason::Nacked);
            let _ = reply.send(if acked { Ok(()) } else { Err(nacked) });
        }
        if !self.waiting[destination.index()].is_empty() {
            self.ready.push_back(destination);
        }
        Verdict::Healthy
    }

    /// Answers a publisher whose confirm says that the channel is not to be trusted.
    fn failed(&mut self, id: u64, confirmed: lapin::Result<Confirmation>, now: Instant) -> Verdict {
        let health = &self.context.health;
        let publish = self.outstanding.confirmed(id, false, now);
        let (reason, verdict) = match confirmed {
            // lapin may attach a return to the wrong message: no confirm in flight can be trusted.
            Ok(Confirmation::Ack(_) | Confirmation::Nack(_)) => {
                health.suspect_topology();
                let reason = "the broker returned a message as unroutable";
                (UnknownReason::Returned, reason.to_owned())
            }
            Ok(Confirmation::NotRequested) => {
                let reason = "the channel is not in confirm mode";
                (UnknownReason::ConnectionLost, reason.to_owned())
            }
            Err(error) => {
                if error.is_amqp_soft_error() {
                    // Most often: an exchange is missing.
                    health.suspect_topology();
                } else if !self.context.session.connection.status().connected() {
                    self.context.session.fail(error.to_string());
                }
                (UnknownReason::ConnectionLost, error.to_string())
            }
        };
        if let Some(publish) = publish {
            if publish.overdue {
                health.dropped(publish.destination);
            }
            if let Some(reply) = publish.reply {
                unknown(reply, reason);
            }
        }
        Verdict::Faulty(verdict)
    }

    /// Answers what is past its deadline, and gives up what has been unconfirmed for too long.
    fn pass_time(&mut self, now: Instant) {
        // Blocked, the broker reads nothing: that says nothing about a queue, and what was written
        // before has its time again afterwards.
        if self.context.session.is_blocked() {
            self.blocked_at = Some(now);
        }
        let free_for = |time: Duration| {
            let blocked_at = self.blocked_at;
            blocked_at.is_none_or(|at| now.duration_since(at) >= time)
        };
        let (refuse_queues, give_up) = (free_for(AFTER_BLOCK), free_for(GIVE_UP_AFTER));
        for (destination, published, reply) in self.outstanding.pass_deadlines(now) {
            let health = &self.context.health;
            self.context.standing.overdue(destination);
            health.passed_deadline(destination, published, refuse_queues, now);
            if let Some(reply) = reply {
                unknown(reply, UnknownReason::Deadline);
            }
        }
        if give_up {
            for (destination, reply) in self.outstanding.give_up(now) {
                if let Some(reply) = reply {
                    unknown(reply, UnknownReason::Deadline);
                }
                let health = &self.context.health;
                health.dropped(destination);
                let remedy = health.gave_up(destination, now);
                self.apply(destination, remedy, "not confirmed");
            }
        }
        for destination in TargetQueue::all() {
            let queue = &mut self.waiting[destination.index()];
            let refusing = self.context.health.is_refusing(destination);
            let ended = |it: &PublishRequest| refusing || it.deadline <= now;
            while queue.front().is_some_and(ended)
                && let Some(request) = queue.pop_front()
            {
                self.waiting_count -= 1;
                let reason = match refusing {
                    true => RefusedReason::Unconfirmed,
                    false => RefusedReason::TooLate,
                };
                refuse(request.reply, reason);
            }
            if !queue.is_empty() {
                self.ready.push_back(destination);
            }
        }
    }

    fn apply(&self, destination: TargetQueue, remedy: Remedy, trouble: &'static str) {
        if remedy != Remedy::Wait {
            let queue = destination.name();
            tracing::debug!(queue, trouble, ?remedy, "publishes fail lastingly");
            // Full: others have been asked for and not been applied yet.
            let _ = self.context.remedies.try_send(remedy);
        }
    }

    /// Whether anything waits for room or for a confirm.
    fn is_waiting(&self) -> bool {
        self.waiting_count > 0 || !self.outstanding.is_empty()
    }

    /// Whether nobody waits for an answer.
    fn is_answered(&self) -> bool {
        self.waiting_count == 0 && self.outstanding.is_answered()
    }

    /// Refuses what waits, and takes what is past its deadline off the books.
    fn end(&mut self) {
        for queue in &mut self.waiting {
            for request in queue.drain(..) {
                refuse(request.reply, RefusedReason::NotConnected);
            }
        }
        self.waiting_count = 0;
        for destination in self.outstanding.overdue() {
            self.context.health.dropped(destination);
        }
    }
}

async fn publish(channel: Channel, id: u64, address: Address, message: BrokerMessage) -> Confirm {
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let (exchange, key) = (
        address.exchange.as_str().into(),
        address.routing_key.as_str().into(),
    );
    let properties = properties(&message);
    let written = channel.basic_publish(exchange, key, options, &message.body, properties);
    let confirmed = match written.await {
        Ok(confirm) => {
            crash_point!("rabbitmq.written");
            confirm.await
        }
        Err(error) => Err(error),
    };
    (id, confirmed)
}

/// Builds new headers for every publish: a republished `x-death` looks like a dead-letter cycle to
/// RabbitMQ 3.x, which then drops the message or keeps it for ever.
fn properties(message: &BrokerMessage) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (key, value) in &message.headers {
        let value = AMQPValue::LongString(LongString::from(value.as_str()));
        headers.insert((*key).into(), value);
    }
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(message.id.as_str().into())
        .with_type(message.kind.into())
        .with_headers(headers)
}
