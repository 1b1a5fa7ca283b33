//! Statistics of the targets that this process calls.

use super::limiter::TargetLimiter;
use crate::http::certificates::CertificateExpiries;
use crate::metrics::DispatcherMetrics;
use contract::control::{AppFigures, LastErrorSeen, MAX_LISTED, TargetFigures, TargetsSeen};
use contract::duration_ms;
use delivery::limits::{BreakerState, LimitKey, OpenReason, TargetStats};
use runtime::clock::now_ms;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the metrics are updated.
const METRICS_INTERVAL: Duration = Duration::from_secs(2);

/// How often the apps with series of their own are chosen, in updates of the metrics.
const STEPS_OF_CHOICE: u32 = 5;

/// The targets and callees of a dispatcher. Cheap to clone.
#[derive(Clone)]
pub struct TargetStatsHandle {
    limiter: Arc<TargetLimiter>,
    certificates: CertificateExpiries,
}

impl TargetStatsHandle {
    pub(crate) fn new(limiter: &Arc<TargetLimiter>, certificates: CertificateExpiries) -> Self {
        Self {
            limiter: Arc::clone(limiter),
            certificates,
        }
    }

    /// The busiest callees and targets of this process, with their figures, and the certificates of
    /// registered callees.
    pub fn targets(&self) -> TargetsSeen {
        let (top, now) = (self.limiter.top(MAX_LISTED), now_ms());
        TargetsSeen {
            targets: top
                .targets
                .iter()
                .map(|stats| figures(stats, now))
                .collect(),
            others: u64::try_from(top.remainder.targets).unwrap_or(u64::MAX),
            certificates: self.certificates.seen(MAX_LISTED),
        }
    }

    /// Lets this process call the key at once, because its owner says that it is back: a `Retry-After`
    /// ends, and an open breaker admits a probe at the next call. Returns for how many apps that
    /// changes something; 0 in a process that calls no targets.
    pub fn probe_now(&self, key: &LimitKey) -> usize {
        self.limiter.probe_now(key)
    }

    /// The apps with the most calls in flight.
    pub fn apps(&self) -> Vec<AppFigures> {
        let apps = self.limiter.busiest_apps(MAX_LISTED).into_iter();
        let figures = apps.map(|app| AppFigures {
            app_id: app.app_id.to_string(),
            in_flight: app.in_flight,
            ..AppFigures::default()
        });
        figures.collect()
    }
}

/// The figures of a target at `now`, Unix ms.
fn figures(stats: &TargetStats, now: u64) -> TargetFigures {
    let (callee_no, target) = match &stats.key {
        LimitKey::Callee(no) => (Some(no.to_string()), None),
        LimitKey::Target(target) => (None, Some(target.to_string())),
    };
    let calls = |counts: &[(&str, u64)]| {
        let counts = counts.iter();
        counts
            .map(|(outcome, count)| ((*outcome).to_owned(), *count))
            .collect()
    };
    let is_closed = stats.breaker == BreakerState::Closed;
    TargetFigures {
        callee_no,
        target,
        in_flight: stats.in_flight,
        waiting: stats.waiting,
        slots: Some(stats.slots),
        max_calls_per_day: stats.max_per_second.map(per_day),
        totals: calls(&stats.totals),
        recent: calls(&stats.recent),
        last_error: stats.last_error.as_ref().map(|error| LastErrorSeen {
            outcome: error.outcome.to_owned(),
            http_status: error.http_status,
            cause: error.cause.as_deref().map(str::to_owned),
            at: now.saturating_sub(duration_ms(error.ago)),
        }),
        breaker: stats.breaker.as_str().to_owned(),
        breaker_apps: stats.breakers_not_closed,
        breaker_app_ids: stats
            .apps_not_closed
            .iter()
            .map(ToString::to_string)
            .collect(),
        breaker_reason: stats.opened.filter(|_| !is_closed).map(in_words),
        probe_in_ms: stats.probe_in.map(duration_ms),
        retry_after_ms: stats.held_for.map(duration_ms),
        durations: stats.durations.clone(),
    }
}

/// A rate in whole calls a day. The slowest is one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive and at most a million a second"
)]
fn per_day(per_second: f64) -> u64 {
    (per_second * 86_400.0).round() as u64
}

fn in_words(reason: OpenReason) -> String {
    match reason {
        OpenReason::Failures { failures, calls } => format!("{failures} of {calls} calls failed"),
        OpenReason::Probe => "a probe failed".to_owned(),
    }
}

/// Keeps the metrics of targets up to date until `stop`.
pub(crate) async fn publish_metrics(
    limiter: Arc<TargetLimiter>,
    metrics: Arc<DispatcherMetrics>,
    certificates: CertificateExpiries,
    stop: CancellationToken,
) {
    let mut interval = tokio::time::interval(METRICS_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut step: u32 = 0;
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        metrics.publish_targets(limiter.samples());
        metrics.publish_pauses(limiter.pauses().counts());
        metrics.publish_due_ages();
        step = step.wrapping_add(1);
        if step.is_multiple_of(STEPS_OF_CHOICE) {
            metrics.choose_apps();
        }
        metrics.publish_certificates(&certificates);
    }
}
