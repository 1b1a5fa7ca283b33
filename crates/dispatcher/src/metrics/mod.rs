//! Metrics of the dispatcher: attempts and their results, and the busiest targets.
//!
//! - `certificates.rs`: when callees' certificates expire
//! - `due_ages.rs`: how long received messages had been due
//! - `targets.rs`: series per target

mod certificates;
mod due_ages;
mod targets;

use crate::deferral::DeferralCause;
use crate::http::certificates::CertificateExpiries;
use crate::limits::pauses::PauseCounts;
use crate::queue::{WorkQueue, queue_label};
use certificates::{CertificateCollector, MAX_HOSTS};
use delivery::retry::OUTCOME_LABELS;
use delivery::{DeadLetterReason, Outcome};
use due_ages::DueAges;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::metrics::{Labeled, Registry, TopCounters, TracedHistogram, add, add_seconds};
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use targets::TargetCollector;

pub(crate) use targets::TargetSample;

/// Attempts: from a nearby target to the longest timeout (60 s).
static ATTEMPT_SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// From an immediate first attempt to the last retries of a day.
static LATENCY_SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0,
    28_800.0, 86_400.0,
];

/// The series of these queues exist from the start, so that a rate begins at zero.
const QUEUES: [&str; 2] = ["first", "retry"];

/// What a dispatcher counts. Every method takes `&self`. Recording allocates nothing, except for
/// the label of a trace that is exported.
pub struct DispatcherMetrics {
    attempts: Family<[(&'static str, &'static str); 2], Counter>,
    attempt_duration: TracedHistogram,
    attempts_in_flight: Labeled<Gauge>,
    delivery_latency: TracedHistogram,
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
    certificates: CertificateCollector,
    app_results: TopCounters,
    due_ages: DueAges,
    received_due_age: Family<[(&'static str, &'static str); 1], Gauge<f64, AtomicU64>>,
}

impl DispatcherMetrics {
    /// Registers the metrics of the dispatcher.
    pub fn register(registry: &mut Registry) -> Self {
        let targets = TargetCollector::default();
        registry.register_collector(Box::new(targets.clone()));
        let certificates = CertificateCollector::default();
        registry.register_collector(Box::new(certificates.clone()));
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
            "Unrouted messages put back into the retry queue, or the journal's",
        );
        let attempt_panics = counter(
            "attempt_panics",
            "Attempts that ended in a panic: a bug; their messages are deferred",
        );
        let target_connections_shed = counter(
            "target_connections_shed",
            "Idle connections to targets closed to make room for others",
        );
        let attempts = add(
            registry,
            "attempts",
            "Attempts ended, by outcome and queue",
            Family::<[(&str, &str); 2], Counter>::default(),
        );
        for outcome in OUTCOME_LABELS {
            for queue in QUEUES {
                // At zero from now on: `increase` does not see a series begin.
                attempts.get_or_create_owned(&[("outcome", outcome), ("queue", queue)]);
            }
        }
        Self {
            attempts,
            attempt_duration: add_seconds(
                registry,
                "attempt_duration",
                "How long attempts took",
                TracedHistogram::new(&ATTEMPT_SECONDS),
            ),
            attempts_in_flight: Labeled::register(
                registry,
                "attempts_in_flight",
                "Attempts in flight, by queue",
                "queue",
                QUEUES,
            ),
            delivery_latency: add_seconds(
                registry,
                "delivery_latency",
                "Time from a callback's acceptance to its delivery",
                TracedHistogram::new(&LATENCY_SECONDS),
            ),
            deferrals: Labeled::register(
                registry,
                "deferrals",
                "Messages deferred without spending an attempt, by reason",
                "reason",
                DeferralCause::names(),
            ),
            dead_letters: Labeled::register(
                registry,
                "dead_letters",
                "Callbacks dead-lettered, by reason",
                "reason",
                DeadLetterReason::ALL.map(DeadLetterReason::as_str),
            ),
            redelivered: Labeled::register(
                registry,
                "redelivered",
                "Messages that the broker delivered again, by queue",
                "queue",
                QUEUES,
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
                ["intake", "deliveries"],
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
            certificates,
            app_results: TopCounters::register(
                registry,
                "app_results",
                "What became of messages by app: delivered, retried, deferred, dead-lettered",
                ["app_id", "result"],
                &["delivered", "retried", "deferred", "dead_lettered"],
            ),
            due_ages: DueAges::default(),
            received_due_age: add_seconds(
                registry,
                "received_due_age",
                "How long the messages received in the last 30 s had been due at most, by queue",
                Family::<_, Gauge<f64, AtomicU64>>::default(),
            ),
        }
    }

    /// A message was received that had been due for so long.
    pub(crate) fn received(&self, queue: WorkQueue, due_for_ms: u64) {
        self.due_ages.received(queue, due_for_ms);
    }

    /// Publishes how long received messages had been due, every two seconds. A queue of which nothing
    /// was received has no series: how old what waits in it is, is not known.
    pub(crate) fn publish_due_ages(&self) {
        for queue in [WorkQueue::First, WorkQueue::Retry] {
            let labels = [("queue", queue_label(queue))];
            match self.due_ages.step(queue) {
                Some(age) => {
                    let gauge = self.received_due_age.get_or_create(&labels);
                    gauge.set(age.as_secs_f64());
                }
                None => _ = self.received_due_age.remove(&labels),
            }
        }
    }

    /// An attempt ended. `trace`: the id of its trace, if its spans are exported.
    pub(crate) fn attempt(
        &self,
        outcome: &Outcome,
        queue: WorkQueue,
        duration: Duration,
        trace: Option<u128>,
    ) {
        let labels = [("outcome", outcome.label()), ("queue", queue_label(queue))];
        self.attempts.get_or_create(&labels).inc();
        self.attempt_duration.observe(duration, trace);
    }

    /// `delta` more (or, negative, fewer) attempts are in flight.
    pub(crate) fn attempts_in_flight(&self, queue: WorkQueue, delta: i64) {
        let queue = queue_label(queue);
        self.attempts_in_flight
            .with(queue, |gauge| gauge.inc_by(delta));
    }

    /// A callback was delivered this long after its acceptance. `trace`: as of [`Self::attempt`].
    pub(crate) fn delivered(&self, app_id: &str, latency: Duration, trace: Option<u128>) {
        self.app_results.add(app_id, 0);
        self.delivery_latency.observe(latency, trace);
    }

    /// A message was deferred.
    pub(crate) fn deferred(&self, app_id: &str, reason: DeferralCause) {
        self.app_results.add(app_id, 2);
        self.deferrals.with(reason.as_str(), Counter::inc);
    }

    /// A retry was queued after a failed attempt.
    pub(crate) fn retry_scheduled(&self, app_id: &str) {
        self.app_results.add(app_id, 1);
        self.retries_scheduled.inc();
    }

    /// A callback was dead-lettered.
    pub(crate) fn dead_lettered(&self, app_id: &str, reason: DeadLetterReason) {
        self.app_results.add(app_id, 3);
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

    /// Gives series to the busiest apps.
    pub(crate) fn choose_apps(&self) {
        self.app_results.choose();
    }

    /// Publishes when the certificates of callees expire.
    pub(crate) fn publish_certificates(&self, certificates: &CertificateExpiries) {
        self.certificates.publish(certificates.seen(MAX_HOSTS));
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
        metrics.attempt(
            &delivered,
            WorkQueue::First,
            Duration::from_millis(20),
            None,
        );
        metrics.attempt(
            &Outcome::Timeout,
            WorkQueue::Retry,
            Duration::from_secs(15),
            None,
        );
        metrics.delivered("crm", Duration::from_secs(86_400), None);
        metrics.attempts_in_flight(WorkQueue::First, 3);
        metrics.attempts_in_flight(WorkQueue::First, -1);
        metrics.deferred("crm", DeferralCause::Limit(DeferReason::BreakerOpen));
        metrics.deferred("crm", DeferralCause::NotDue);
        metrics.retry_scheduled("crm");
        metrics.dead_lettered("crm", DeadLetterReason::Exhausted);
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
                "ringback_app_results_total{app_id=\"crm\",result=\"delivered\"} 1",
                "ringback_app_results_total{app_id=\"crm\",result=\"retried\"} 1",
                "ringback_app_results_total{app_id=\"crm\",result=\"deferred\"} 2",
                "ringback_app_results_total{app_id=\"crm\",result=\"dead_lettered\"} 1",
                "ringback_app_results_total{app_id=\"other\",result=\"delivered\"} 0",
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
    fn the_age_of_what_is_received_is_shown_and_of_what_is_not_it_is_unknown() {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(DispatcherMetrics::register);
        metrics.received(WorkQueue::Retry, 1_500);
        metrics.publish_due_ages();
        let page = registry.encode();
        assert_lines(
            &page,
            &["ringback_received_due_age_seconds{queue=\"retry\"} 1.5"],
        );
        assert!(!page.contains("due_age_seconds{queue=\"first\"}"), "{page}");
        for _ in 0..15 {
            metrics.publish_due_ages();
        }
        assert!(!registry.encode().contains("due_age_seconds{"));
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
