//! What is counted and measured, and under which names?
//!
//! Every metric name of the program is in this file, or in `metrics/`. Labels are `&'static str`: their values are
//! written in the program, so nobody outside can make new time series, and recording a value
//! allocates nothing. The one exception is `target`, bounded in `metrics/targets.rs`.

mod by_label;
mod journal;
mod reload;
mod targets;

use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use by_label::ByLabel;
use journal::JournalMetrics;
use reload::ReloadMetrics;
use targets::TargetMetrics;

pub use targets::TargetFigures;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Attempts: from a target next door to the longest time-out (60 s).
const ATTEMPT_SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// Ages at delivery: from a first attempt at once to the last retries of a day.
const AGE_SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0,
    28_800.0, 86_400.0,
];

/// The work lanes; their series are there from the start, so that a rate begins at nought.
const LANES: [&str; 2] = ["first", "retry"];

/// What a process counts and measures. Share it in an `Arc`; every method takes `&self`.
pub struct Metrics {
    registry: Registry,
    accepted: Counter,
    refused: ByLabel<Counter>,
    unauthenticated: ByLabel<Counter>,
    limited: ByLabel<Counter>,
    attempts: Family<[(&'static str, &'static str); 2], Counter>,
    attempt_seconds: Histogram,
    age_seconds: Histogram,
    in_flight: ByLabel<Gauge>,
    parked: ByLabel<Counter>,
    retried: Counter,
    dead: ByLabel<Counter>,
    poison: Counter,
    reinjected: Counter,
    redelivered: ByLabel<Counter>,
    broker_up: ByLabel<Gauge>,
    broker_blocked: Gauge,
    queue_messages: ByLabel<Gauge>,
    publish_failures: ByLabel<Counter>,
    journal: JournalMetrics,
    reload: ReloadMetrics,
    targets: TargetMetrics,
    pauses: Gauge,
}

impl Metrics {
    /// A fresh set of metrics, all at nought.
    pub fn new() -> Self {
        let mut all = Registry::with_prefix("ringback");
        Self {
            accepted: add(
                &mut all,
                "callbacks_accepted",
                "Callbacks accepted: durably queued",
                Counter::default(),
            ),
            refused: ByLabel::add(
                &mut all,
                "callbacks_refused",
                "Requests refused, by the code of the answer",
                "code",
                &[],
            ),
            unauthenticated: ByLabel::add(
                &mut all,
                "callers_refused",
                "Requests whose caller was turned away, by reason",
                "reason",
                &[],
            ),
            limited: ByLabel::add(
                &mut all,
                "callers_limited",
                "Requests over a limit of their app, by limit",
                "limit",
                &[],
            ),
            attempts: add(
                &mut all,
                "attempts",
                "Attempts ended, by outcome and lane",
                Family::default(),
            ),
            attempt_seconds: add_seconds(
                &mut all,
                "attempt_duration",
                "How long attempts took",
                Histogram::new(ATTEMPT_SECONDS),
            ),
            age_seconds: add_seconds(
                &mut all,
                "delivery_age",
                "Age of callbacks at delivery, since they were accepted",
                Histogram::new(AGE_SECONDS),
            ),
            in_flight: ByLabel::add(
                &mut all,
                "attempts_in_flight",
                "Attempts being made now, by lane",
                "lane",
                &LANES,
            ),
            parked: ByLabel::add(
                &mut all,
                "parked",
                "Messages set aside without spending an attempt, by reason",
                "reason",
                &[],
            ),
            retried: add(
                &mut all,
                "retried",
                "Follow-ups queued after a failed attempt",
                Counter::default(),
            ),
            dead: ByLabel::add(
                &mut all,
                "dead",
                "Callbacks given up, by reason",
                "reason",
                &[],
            ),
            poison: add(
                &mut all,
                "poison",
                "Messages that could not be read",
                Counter::default(),
            ),
            reinjected: add(
                &mut all,
                "reinjected",
                "Unrouted messages put back into their lane",
                Counter::default(),
            ),
            redelivered: ByLabel::add(
                &mut all,
                "redelivered",
                "Messages the broker delivered again, by lane",
                "lane",
                &LANES,
            ),
            broker_up: ByLabel::add(
                &mut all,
                "broker_up",
                "Whether a connection to the broker stands (1) or not (0)",
                "connection",
                &[],
            ),
            broker_blocked: add(
                &mut all,
                "broker_blocked",
                "Whether the broker blocks publishing (1) or not (0)",
                Gauge::default(),
            ),
            queue_messages: ByLabel::add(
                &mut all,
                "queue_messages",
                "Messages in a queue, as last seen",
                "queue",
                &[],
            ),
            publish_failures: ByLabel::add(
                &mut all,
                "publish_failures",
                "Publishes not confirmed: refused for certain, or unknown",
                "kind",
                &["refused", "unknown"],
            ),
            journal: JournalMetrics::add(&mut all),
            reload: ReloadMetrics::add(&mut all),
            targets: TargetMetrics::add(&mut all),
            pauses: add(
                &mut all,
                "pauses",
                "Callees and targets that are paused, as far as the process knows",
                Gauge::default(),
            ),
            registry: all,
        }
    }

    /// A callback was accepted.
    pub fn accepted(&self) {
        self.accepted.inc();
    }

    /// A request was refused with this code of the contract.
    pub fn refused(&self, code: &'static str) {
        self.refused.with(code, Counter::inc);
    }

    /// An attempt on this lane ended so after this time.
    pub fn attempt(&self, outcome: &'static str, lane: &'static str, duration: Duration) {
        self.attempts
            .get_or_create(&[("outcome", outcome), ("lane", lane)])
            .inc();
        self.attempt_seconds.observe(duration.as_secs_f64());
    }

    /// A caller could not prove who it is, or may not do this.
    pub fn unauthenticated(&self, reason: &'static str) {
        self.unauthenticated.with(reason, Counter::inc);
    }

    /// A request was over a limit of its app.
    pub fn limited(&self, limit: &'static str) {
        self.limited.with(limit, Counter::inc);
    }

    /// A callback was delivered this long after it was accepted.
    pub fn delivered_age(&self, age: Duration) {
        self.age_seconds.observe(age.as_secs_f64());
    }

    /// So many more (or, negative, fewer) attempts of this lane are in flight.
    pub fn in_flight(&self, lane: &'static str, delta: i64) {
        self.in_flight.with(lane, |gauge| gauge.inc_by(delta));
    }

    /// A message was set aside without spending an attempt.
    pub fn parked(&self, reason: &'static str) {
        self.parked.with(reason, Counter::inc);
    }

    /// A follow-up was queued after a failed attempt.
    pub fn retried(&self) {
        self.retried.inc();
    }

    /// A callback was given up.
    pub fn dead(&self, reason: &'static str) {
        self.dead.with(reason, Counter::inc);
    }

    /// A message could not be read.
    pub fn poison(&self) {
        self.poison.inc();
    }

    /// An unrouted message was put back into its lane.
    pub fn reinjected(&self) {
        self.reinjected.inc();
    }

    /// The broker delivered a message of this lane again.
    pub fn redelivered(&self, lane: &'static str) {
        self.redelivered.with(lane, Counter::inc);
    }

    /// This connection to the broker stands, or does not.
    pub fn broker_up(&self, connection: &'static str, up: bool) {
        self.broker_up
            .with(connection, |gauge| gauge.set(up.into()));
    }

    /// The broker blocks publishing (a memory or disk alarm), or no longer does.
    pub fn broker_blocked(&self, blocked: bool) {
        self.broker_blocked.set(blocked.into());
    }

    /// So many messages are in this queue.
    pub fn queue_messages(&self, queue: &'static str, messages: i64) {
        self.queue_messages.with(queue, |gauge| gauge.set(messages));
    }

    /// A publish was not confirmed: `refused` for certain, or `unknown`.
    pub fn publish_failure(&self, kind: &'static str) {
        self.publish_failures.with(kind, Counter::inc);
    }

    /// So many callees and targets are paused.
    pub fn pauses(&self, count: usize) {
        self.pauses.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// All metrics in the OpenMetrics text format, of type [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail; a cut page would lack its `# EOF` and be rejected.
        let _ = text::encode(&mut page, &self.registry);
        page
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn add<M: Metric + Clone>(all: &mut Registry, name: &str, help: &str, metric: M) -> M {
    all.register(name, help, metric.clone());
    metric
}

fn add_seconds<M: Metric + Clone>(all: &mut Registry, name: &str, help: &str, metric: M) -> M {
    all.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
