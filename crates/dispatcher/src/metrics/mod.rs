//! Metrics of the dispatcher: attempts and their results, and the busiest targets.
//!
//! - `targets.rs`: series per target

mod targets;

use crate::deferral::DeferralCause;
use crate::limits::pauses::PauseCounts;
use crate::queue::{WorkQueue, queue_label};
use delivery::{DeadLetterReason, Outcome};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use runtime::metrics::{Labeled, Registry, add, add_seconds};
use std::time::Duration;
use targets::TargetCollector;

pub(crate) use targets::TargetSample;

/// Attempts: from a nearby target to the longest timeout (60 s).
const ATTEMPT_SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// From an immediate first attempt to the last retries of a day.
const LATENCY_SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0,
    28_800.0, 86_400.0,
];

/// The series of these queues exist from the start, so that a rate begins at zero.
const QUEUES: [&str; 2] = ["first", "retry"];

/// What a dispatcher counts. Every method takes `&self`, and recording allocates nothing.
pub struct DispatcherMetrics {
    attempts: Family<[(&'static str, &'static str); 2], Counter>,
    attempt_duration: Histogram,
    attempts_in_flight: Labeled<Gauge>,
    delivery_latency: Histogram,
    deferrals: Labeled<Counter>,
    retries_scheduled: Counter,
    dead_letters: Labeled<Counter>,
    redelivered: Labeled<Counter>,
    cancelled: Counter,
    stale_replicas_discarded: Counter,
    unreadable_messages: Counter,
    unknown_messages_dropped: Counter,
    unrouted_requeued: Counter,
    attempt_panics: Counter,
    paused_targets: Gauge,
    paused_apps: Gauge,
    paused_message_types: Gauge,
    /// By switch: `intake` and `deliveries`.
    stopped: Labeled<Gauge>,
    target_connections: Gauge,
    target_connections_shed: Counter,
    targets: TargetCollector,
}

impl DispatcherMetrics {
    /// Registers the metrics of the dispatcher.
    pub fn register(registry: &mut Registry) -> Self {
        let targets = TargetCollector::default();
        registry.register_collector(Box::new(targets.clone()));
        let mut counter = |name, help| add(registry, name, help, Counter::default());
        let retries_scheduled =
            counter("retries_scheduled", "Retries queued after failed attempts");
        let cancelled = counter(
            "cancelled",
            "Messages completed without an attempt because their callback was cancelled",
        );
        let stale_replicas_discarded = counter(
            "stale_replicas_discarded",
            "Messages completed without an attempt because a replay replaced them",
        );
        let unreadable_messages = counter(
            "unreadable_messages",
            "Messages quarantined because they could not be decoded",
        );
        let unknown_messages_dropped = counter(
            "unknown_messages_dropped",
            "Messages of an unknown kind completed because only newer gateways need them",
        );
        let unrouted_requeued = counter(
            "unrouted_requeued",
            "Unrouted messages put back into the retry queue",
        );
        let attempt_panics = counter(
            "attempt_panics",
            "Attempts that ended in a panic: a bug; their messages are deferred",
        );
        let target_connections_shed = counter(
            "target_connections_shed",
            "Idle connections to targets closed to make room for others",
        );
        Self {
            attempts: add(
                registry,
                "attempts",
                "Attempts ended, by outcome and queue",
                Family::default(),
            ),
            attempt_duration: add_seconds(
                registry,
                "attempt_duration",
                "How long attempts took",
                Histogram::new(ATTEMPT_SECONDS),
            ),
            attempts_in_flight: Labeled::register(
                registry,
                "attempts_in_flight",
                "Attempts in flight, by queue",
                "queue",
                &QUEUES,
            ),
            delivery_latency: add_seconds(
                registry,
                "delivery_latency",
                "Time from a callback's acceptance to its delivery",
                Histogram::new(LATENCY_SECONDS),
            ),
            deferrals: Labeled::register(
                registry,
                "deferrals",
                "Messages deferred without spending an attempt, by reason",
                "reason",
                &[],
            ),
            dead_letters: Labeled::register(
                registry,
                "dead_letters",
                "Callbacks dead-lettered, by reason",
                "reason",
                &[],
            ),
            redelivered: Labeled::register(
                registry,
                "redelivered",
                "Messages that the broker delivered again, by queue",
                "queue",
                &QUEUES,
            ),
            paused_targets: add(
                registry,
                "paused_targets",
                "Callees and targets that are paused, as far as the process knows",
                Gauge::default(),
            ),
            paused_apps: add(
                registry,
                "paused_apps",
                "Apps that are paused, as far as the process knows",
                Gauge::default(),
            ),
            paused_message_types: add(
                registry,
                "paused_message_types",
                "Message types that are paused, as far as the process knows",
                Gauge::default(),
            ),
            stopped: Labeled::register(
                registry,
                "stopped",
                "Whether an operator has stopped intake or deliveries (1), by switch",
                "switch",
                &["intake", "deliveries"],
            ),
            target_connections: add(
                registry,
                "target_connections",
                "Connections to targets, in use and idle",
                Gauge::default(),
            ),
            target_connections_shed,
            retries_scheduled,
            cancelled,
            stale_replicas_discarded,
            unreadable_messages,
            unknown_messages_dropped,
            unrouted_requeued,
            attempt_panics,
            targets,
        }
    }

    /// An attempt ended.
    pub(crate) fn attempt(&self, outcome: &Outcome, queue: WorkQueue, duration: Duration) {
        let labels = [("outcome", outcome.label()), ("queue", queue_label(queue))];
        self.attempts.get_or_create(&labels).inc();
        self.attempt_duration.observe(duration.as_secs_f64());
    }

    /// `delta` more (or, negative, fewer) attempts are in flight.
    pub(crate) fn attempts_in_flight(&self, queue: WorkQueue, delta: i64) {
        let queue = queue_label(queue);
        self.attempts_in_flight
            .with(queue, |gauge| gauge.inc_by(delta));
    }

    /// A callback was delivered this long after its acceptance.
    pub(crate) fn delivered(&self, latency: Duration) {
        self.delivery_latency.observe(latency.as_secs_f64());
    }

    /// A message was deferred.
    pub(crate) fn deferred(&self, reason: DeferralCause) {
        self.deferrals.with(reason.as_str(), Counter::inc);
    }

    /// A retry was queued after a failed attempt.
    pub(crate) fn retry_scheduled(&self) {
        self.retries_scheduled.inc();
    }

    /// A callback was dead-lettered.
    pub(crate) fn dead_lettered(&self, reason: DeadLetterReason) {
        self.dead_letters.with(reason.as_str(), Counter::inc);
    }

    /// The broker delivered a message again.
    pub(crate) fn redelivered(&self, queue: WorkQueue) {
        self.redelivered.with(queue_label(queue), Counter::inc);
    }

    /// A message was completed because its callback was cancelled.
    pub(crate) fn cancelled(&self) {
        self.cancelled.inc();
    }

    /// A message was completed because a replay replaced it.
    pub(crate) fn stale_replica_discarded(&self) {
        self.stale_replicas_discarded.inc();
    }

    /// A message could not be decoded.
    pub(crate) fn unreadable(&self) {
        self.unreadable_messages.inc();
    }

    /// A message of an unknown kind was completed because it said so.
    pub(crate) fn unknown_kind_dropped(&self) {
        self.unknown_messages_dropped.inc();
    }

    /// An unrouted message was put back into the retry queue.
    pub(crate) fn unrouted_requeued(&self) {
        self.unrouted_requeued.inc();
    }

    /// An attempt panicked.
    pub(crate) fn attempt_panicked(&self) {
        self.attempt_panics.inc();
    }

    /// The number of connections to targets, for who opens them.
    pub(crate) fn target_connections(&self) -> Gauge {
        self.target_connections.clone()
    }

    /// The number of idle connections that made room, for who closes them.
    pub(crate) fn target_connections_shed(&self) -> Counter {
        self.target_connections_shed.clone()
    }

    /// Publishes the samples of the busiest targets.
    pub(crate) fn publish_targets(&self, samples: Vec<TargetSample>) {
        self.targets.publish(samples);
    }

    /// Publishes the number of pauses, and the switches.
    pub(crate) fn publish_pauses(&self, pauses: PauseCounts) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.paused_targets.set(number(pauses.targets));
        self.paused_apps.set(number(pauses.apps));
        self.paused_message_types.set(number(pauses.message_types));
        for (switch, stopped) in [("intake", pauses.intake), ("deliveries", pauses.deliveries)] {
            self.stopped
                .with(switch, |gauge| gauge.set(i64::from(stopped)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delivery::limits::DeferReason;
    use runtime::MetricsRegistry;

    fn assert_lines(page: &str, lines: &[&str]) {
        for line in lines {
            assert!(
                page.lines().any(|found| found == *line),
                "no {line:?} in:\n{page}"
            );
        }
    }

    #[test]
    fn what_is_recorded_is_on_the_page() {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(DispatcherMetrics::register);
        let delivered = Outcome::Answered {
            status: 200,
            retry_after: None,
        };
        metrics.attempt(&delivered, WorkQueue::First, Duration::from_millis(20));
        metrics.attempt(&Outcome::Timeout, WorkQueue::Retry, Duration::from_secs(15));
        metrics.delivered(Duration::from_secs(86_400));
        metrics.attempts_in_flight(WorkQueue::First, 3);
        metrics.attempts_in_flight(WorkQueue::First, -1);
        metrics.deferred(DeferralCause::Limit(DeferReason::BreakerOpen));
        metrics.deferred(DeferralCause::NotDue);
        metrics.retry_scheduled();
        metrics.dead_lettered(DeadLetterReason::Exhausted);
        metrics.unreadable();
        metrics.unknown_kind_dropped();
        metrics.unrouted_requeued();
        metrics.redelivered(WorkQueue::Retry);
        metrics.cancelled();
        metrics.stale_replica_discarded();
        metrics.attempt_panicked();
        metrics.publish_pauses(PauseCounts {
            targets: 2,
            apps: 3,
            message_types: 4,
            intake: false,
            deliveries: true,
        });
        assert_lines(
            &registry.encode(),
            &[
                "ringback_attempts_total{outcome=\"delivered\",queue=\"first\"} 1",
                "ringback_attempts_total{outcome=\"timeout\",queue=\"retry\"} 1",
                "ringback_attempt_duration_seconds_count 2",
                "ringback_attempt_duration_seconds_bucket{le=\"0.025\"} 1",
                "ringback_attempt_duration_seconds_bucket{le=\"15.0\"} 2",
                "ringback_delivery_latency_seconds_bucket{le=\"28800.0\"} 0",
                "ringback_delivery_latency_seconds_bucket{le=\"86400.0\"} 1",
                "ringback_attempts_in_flight{queue=\"first\"} 2",
                "ringback_deferrals_total{reason=\"breaker_open\"} 1",
                "ringback_deferrals_total{reason=\"not_due\"} 1",
                "ringback_retries_scheduled_total 1",
                "ringback_dead_letters_total{reason=\"exhausted\"} 1",
                "ringback_unreadable_messages_total 1",
                "ringback_unknown_messages_dropped_total 1",
                "ringback_unrouted_requeued_total 1",
                "ringback_redelivered_total{queue=\"retry\"} 1",
                "ringback_cancelled_total 1",
                "ringback_stale_replicas_discarded_total 1",
                "ringback_attempt_panics_total 1",
                "ringback_paused_targets 2",
                "ringback_paused_apps 3",
                "ringback_paused_message_types 4",
                "ringback_stopped{switch=\"intake\"} 0",
                "ringback_stopped{switch=\"deliveries\"} 1",
                "# EOF",
            ],
        );
    }

    #[test]
    fn series_with_known_labels_exist_from_the_start() {
        let registry = MetricsRegistry::new();
        let _metrics = registry.add(DispatcherMetrics::register);
        assert_lines(
            &registry.encode(),
            &[
                "ringback_redelivered_total{queue=\"first\"} 0",
                "ringback_attempts_in_flight{queue=\"retry\"} 0",
                "ringback_target_connections 0",
                "ringback_target_connections_shed_total 0",
            ],
        );
    }
}
