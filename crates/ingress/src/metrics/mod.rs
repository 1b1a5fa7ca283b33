//! Metrics of ingress.

mod apps;

use broker::PublishError;
use contract::Answer;
use delivery::auth::AuthError;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::metrics::{Labeled, Registry, TimeHistogram, TopCounters, add, add_seconds};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use self::apps::AppCollector;
pub(crate) use self::apps::AppSample;

/// From a confirm of a near broker to the deadline of a publish.
static ACCEPT_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// From an idle queue to a backlog of some minutes.
static CANARY_SECONDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0,
];

/// The HTTP statuses of the answers to new callbacks.
const ACCEPT_STATUSES: [(u16, &str); 12] = [
    (200, "200"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (429, "429"),
    (500, "500"),
    (501, "501"),
    (503, "503"),
];

/// What ingress counts. Label values are written in the program, so recording allocates nothing and
/// callers cannot create series; the apps that have series are a bounded number.
#[derive(Debug)]
pub struct IngressMetrics {
    accepted: Counter,
    accept_duration: Labeled<TimeHistogram>,
    canary_round_trip: Labeled<TimeHistogram>,
    canary_unanswered: Family<[(&'static str, &'static str); 1], Gauge<f64, AtomicU64>>,
    rejected: Labeled<Counter>,
    auth_failures: Labeled<Counter>,
    rate_limited: Labeled<Counter>,
    publish_failures: Labeled<Counter>,
    apps: AppCollector,
    app_requests: TopCounters,
    app_counts_stale: Gauge,
    stale_delayed_messages: Gauge,
    intake_delay: Gauge<f64, AtomicU64>,
    intake_limit: Gauge<f64, AtomicU64>,
    intake_slowed: Labeled<Counter>,
}

/// What became of a callback that waited because first attempts were late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlowedResult {
    /// Its turn came.
    Admitted,
    /// Answered 503.
    Refused,
}

impl SlowedResult {
    const ALL: [Self; 2] = [Self::Admitted, Self::Refused];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
        }
    }
}

/// A limit of an app that a request was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppLimit {
    /// `apps.ID.rate`.
    Rate,
    /// `apps.ID.max_in_flight`.
    MaxInFlight,
    /// The signed requests that are remembered against replay.
    ReplayCache,
    /// `ingress.app_share`.
    Share,
}

impl AppLimit {
    const ALL: [Self; 4] = [
        Self::Rate,
        Self::MaxInFlight,
        Self::ReplayCache,
        Self::Share,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::MaxInFlight => "max_in_flight",
            Self::ReplayCache => "replay_cache",
            Self::Share => "app_share",
        }
    }
}

impl IngressMetrics {
    /// Registers the metrics of ingress.
    pub fn register(registry: &mut Registry) -> Self {
        let apps = AppCollector::default();
        registry.register_collector(Box::new(apps.clone()));
        Self {
            apps,
            app_requests: TopCounters::register(
                registry,
                "app_requests",
                "Requests for callbacks by app, as they were answered",
                ["app_id", "result"],
                &["accepted", "refused", "limited"],
            ),
            app_counts_stale: add(
                registry,
                "app_counts_stale",
                "Whether the unfinished callbacks of apps could not be read again (1) or are current (0)",
                Gauge::default(),
            ),
            stale_delayed_messages: add(
                registry,
                "stale_delayed_messages",
                "Messages in the delay queues whose callbacks have ended, as when it was last known",
                Gauge::default(),
            ),
            intake_delay: add_seconds(
                registry,
                "intake_delay",
                "How late what was last received from the queue of first attempts was, as probes under load tell, 0 if that is not known",
                Gauge::default(),
            ),
            intake_limit: add(
                registry,
                "intake_limit",
                "Callbacks admitted a second while first attempts are late, 0 without a limit",
                Gauge::default(),
            ),
            intake_slowed: Labeled::register(
                registry,
                "intake_slowed",
                "Callbacks that waited because first attempts were late, by what became of them",
                "result",
                SlowedResult::ALL.map(SlowedResult::as_str),
            ),
            accepted: add(
                registry,
                "callbacks_accepted",
                "Callbacks accepted: durably queued",
                Counter::default(),
            ),
            accept_duration: Labeled::register_seconds(
                registry,
                "accept_duration",
                "From the head of a request for a new callback to its answer, without a wait for the outcome, by HTTP status",
                "status",
                ACCEPT_STATUSES.map(|(_, label)| label),
                || TimeHistogram::new(&ACCEPT_SECONDS),
            ),
            canary_round_trip: Labeled::register_seconds(
                registry,
                "canary_round_trip",
                "From the sending of a canary through a queue to its answer by a dispatcher",
                "queue",
                ["first", "retry"],
                || TimeHistogram::new(&CANARY_SECONDS),
            ),
            canary_unanswered: add_seconds(
                registry,
                "canary_unanswered",
                "How long no canary through a queue has been answered, 0 if none is on its way",
                Family::<_, Gauge<f64, AtomicU64>>::default(),
            ),
            rejected: Labeled::register(
                registry,
                "callbacks_rejected",
                "Requests rejected, by the code of the answer",
                "code",
                Answer::REJECTION_CODES,
            ),
            auth_failures: Labeled::register(
                registry,
                "auth_failures",
                "Requests that failed authentication or authorization, by reason",
                "reason",
                AuthError::ALL.map(AuthError::as_str),
            ),
            rate_limited: Labeled::register(
                registry,
                "rate_limited_requests",
                "Requests over a limit of their app, by limit",
                "limit",
                AppLimit::ALL.map(AppLimit::as_str),
            ),
            publish_failures: Labeled::register(
                registry,
                "publish_failures",
                "Publishes not confirmed: refused for certain, or unknown",
                "kind",
                ["refused", "unknown"],
            ),
        }
    }

    pub(crate) fn accepted(&self, app_id: &str) {
        self.accepted.inc();
        self.app_requests.add(app_id, 0);
    }

    /// A request of this app was answered so.
    pub(crate) fn app_rejected(&self, app_id: &str, answer: &Answer) {
        let is_limited = matches!(answer, Answer::TooManyRequests { .. });
        self.app_requests
            .add(app_id, if is_limited { 2 } else { 1 });
    }

    /// Gives series to the apps with the most requests.
    pub(crate) fn choose_apps(&self) {
        self.app_requests.choose();
    }

    /// A request for a new callback was decided after this time, with this HTTP status.
    pub(crate) fn decided(&self, http_status: u16, after: Duration) {
        let known = ACCEPT_STATUSES.iter();
        let mut known = known.filter(|(status, _)| *status == http_status);
        if let Some((_, status)) = known.next() {
            self.accept_duration
                .with(status, |histogram| histogram.observe(after));
        }
    }

    /// A canary came out of this queue after this time.
    pub(crate) fn canary_answered(&self, queue: &'static str, after: Duration) {
        self.canary_round_trip
            .with(queue, |histogram| histogram.observe(after));
    }

    /// For so long no canary has come out of this queue.
    pub(crate) fn canaries_unanswered(&self, queue: &'static str, since: Duration) {
        let gauge = self.canary_unanswered.get_or_create(&[("queue", queue)]);
        gauge.set(since.as_secs_f64());
    }

    /// A request was answered with this code of the contract instead of being accepted.
    pub(crate) fn rejected(&self, code: &'static str) {
        self.rejected.with(code, Counter::inc);
    }

    pub(crate) fn auth_failure(&self, reason: AuthError) {
        self.auth_failures.with(reason.as_str(), Counter::inc);
    }

    pub(crate) fn rate_limited(&self, limit: AppLimit) {
        self.rate_limited.with(limit.as_str(), Counter::inc);
    }

    /// What admission knows: the apps with the most unfinished callbacks, whether these figures could
    /// not be read again, and the messages in the delay queues whose callbacks have ended.
    pub(crate) fn publish_apps(&self, apps: Vec<AppSample>, stale: bool, stale_messages: u64) {
        self.apps.publish(apps);
        self.app_counts_stale.set(stale.into());
        let messages = i64::try_from(stale_messages).unwrap_or(i64::MAX);
        self.stale_delayed_messages.set(messages);
    }

    /// How late what was received last was, 0 if that is not known, and how many callbacks a second
    /// are admitted, 0 if all are.
    pub(crate) fn intake(&self, delay: Duration, limit: f64) {
        self.intake_delay.set(delay.as_secs_f64());
        self.intake_limit.set(limit);
    }

    /// A callback waited because first attempts were late.
    pub(crate) fn slowed(&self, result: SlowedResult) {
        self.intake_slowed.with(result.as_str(), Counter::inc);
    }

    pub(crate) fn publish_failure(&self, error: &PublishError) {
        self.publish_failures.with(error.as_str(), Counter::inc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::UnknownReason;
    use runtime::MetricsRegistry;

    #[test]
    fn recorded_values_are_exported() {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(IngressMetrics::register);
        metrics.accepted("crm");
        metrics.app_rejected("crm", &Answer::Forbidden);
        metrics.app_rejected("erp", &Answer::TooManyRequests { retry_after: 1 });
        metrics.rejected("400");
        metrics.decided(503, Duration::from_secs(3));
        metrics.canary_answered("retry", Duration::from_secs(2));
        metrics.canaries_unanswered("first", Duration::from_millis(7_500));
        metrics.auth_failure(AuthError::OtherApp);
        metrics.rate_limited(AppLimit::Rate);
        metrics.rate_limited(AppLimit::MaxInFlight);
        metrics.rate_limited(AppLimit::ReplayCache);
        metrics.rate_limited(AppLimit::Share);
        metrics.publish_apps(Vec::new(), true, 5);
        metrics.intake(Duration::from_millis(1_500), 250.5);
        metrics.slowed(SlowedResult::Refused);
        metrics.publish_failure(&PublishError::Unknown(UnknownReason::Deadline));
        let page = registry.encode();
        for line in [
            "ringback_callbacks_accepted_total 1",
            "ringback_app_requests_total{app_id=\"crm\",result=\"accepted\"} 1",
            "ringback_app_requests_total{app_id=\"crm\",result=\"refused\"} 1",
            "ringback_app_requests_total{app_id=\"erp\",result=\"limited\"} 1",
            "ringback_app_requests_total{app_id=\"other\",result=\"accepted\"} 0",
            "ringback_callbacks_rejected_total{code=\"400\"} 1",
            "ringback_accept_duration_seconds_bucket{le=\"2.5\",status=\"503\"} 0",
            "ringback_accept_duration_seconds_bucket{le=\"5.0\",status=\"503\"} 1",
            "ringback_accept_duration_seconds_count{status=\"200\"} 0",
            "ringback_canary_round_trip_seconds_bucket{le=\"1.0\",queue=\"retry\"} 0",
            "ringback_canary_round_trip_seconds_bucket{le=\"2.5\",queue=\"retry\"} 1",
            "ringback_canary_round_trip_seconds_count{queue=\"first\"} 0",
            "ringback_canary_unanswered_seconds{queue=\"first\"} 7.5",
            "ringback_auth_failures_total{reason=\"other_app\"} 1",
            "ringback_rate_limited_requests_total{limit=\"rate\"} 1",
            "ringback_rate_limited_requests_total{limit=\"max_in_flight\"} 1",
            "ringback_rate_limited_requests_total{limit=\"replay_cache\"} 1",
            "ringback_rate_limited_requests_total{limit=\"app_share\"} 1",
            "ringback_intake_delay_seconds 1.5",
            "ringback_intake_limit 250.5",
            "ringback_intake_slowed_total{result=\"admitted\"} 0",
            "ringback_intake_slowed_total{result=\"refused\"} 1",
            "ringback_app_counts_stale 1",
            "ringback_stale_delayed_messages 5",
            "ringback_publish_failures_total{kind=\"unknown\"} 1",
            "ringback_publish_failures_total{kind=\"refused\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
