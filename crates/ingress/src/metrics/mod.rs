//! Metrics of ingress.

mod apps;

use broker::PublishError;
use delivery::auth::AuthError;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use runtime::metrics::{Labeled, Registry, add};

use self::apps::AppCollector;
pub(crate) use self::apps::AppSample;

/// What ingress counts. Label values are written in the program, so recording allocates nothing and
/// callers cannot create series; the apps that have series are a bounded number.
#[derive(Debug)]
pub struct IngressMetrics {
    accepted: Counter,
    rejected: Labeled<Counter>,
    auth_failures: Labeled<Counter>,
    rate_limited: Labeled<Counter>,
    publish_failures: Labeled<Counter>,
    apps: AppCollector,
    app_counts_stale: Gauge,
    stale_delayed_messages: Gauge,
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
            accepted: add(
                registry,
                "callbacks_accepted",
                "Callbacks accepted: durably queued",
                Counter::default(),
            ),
            rejected: Labeled::register(
                registry,
                "callbacks_rejected",
                "Requests rejected, by the code of the answer",
                "code",
                &[],
            ),
            auth_failures: Labeled::register(
                registry,
                "auth_failures",
                "Requests that failed authentication or authorization, by reason",
                "reason",
                &[],
            ),
            rate_limited: Labeled::register(
                registry,
                "rate_limited_requests",
                "Requests over a limit of their app, by limit",
                "limit",
                &[],
            ),
            publish_failures: Labeled::register(
                registry,
                "publish_failures",
                "Publishes not confirmed: refused for certain, or unknown",
                "kind",
                &["refused", "unknown"],
            ),
        }
    }

    pub(crate) fn accepted(&self) {
        self.accepted.inc();
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
        metrics.accepted();
        metrics.rejected("400");
        metrics.auth_failure(AuthError::OtherApp);
        metrics.rate_limited(AppLimit::Rate);
        metrics.rate_limited(AppLimit::MaxInFlight);
        metrics.rate_limited(AppLimit::ReplayCache);
        metrics.rate_limited(AppLimit::Share);
        metrics.publish_apps(Vec::new(), true, 5);
        metrics.publish_failure(&PublishError::Unknown(UnknownReason::Deadline));
        let page = registry.encode();
        for line in [
            "ringback_callbacks_accepted_total 1",
            "ringback_callbacks_rejected_total{code=\"400\"} 1",
            "ringback_auth_failures_total{reason=\"other_app\"} 1",
            "ringback_rate_limited_requests_total{limit=\"rate\"} 1",
            "ringback_rate_limited_requests_total{limit=\"max_in_flight\"} 1",
            "ringback_rate_limited_requests_total{limit=\"replay_cache\"} 1",
            "ringback_rate_limited_requests_total{limit=\"app_share\"} 1",
            "ringback_app_counts_stale 1",
            "ringback_stale_delayed_messages 5",
            "ringback_publish_failures_total{kind=\"unknown\"} 1",
            "ringback_publish_failures_total{kind=\"refused\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
