//! The JSON of `/admin/v1/stats`, as the server writes and the command reads it.

use journal::{LATENCY_BOUNDS_MS, RollupFigures, RollupPoint, RollupQuery, RollupSubject};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rfc3339;

/// What happened in a time. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatsView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<String>,
    /// When the first step begins.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) from: u64,
    /// When the last step ends.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) to: u64,
    pub(crate) step_s: u64,
    /// The upper bounds of `latency`, without the last bucket.
    pub(crate) latency_bounds_ms: Vec<u64>,
    pub(crate) total: FiguresView,
    /// Every step, oldest first.
    pub(crate) points: Vec<StatsPointView>,
}

/// What happened in a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatsPointView {
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) figures: FiguresView,
}

/// Figures of the rollups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FiguresView {
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) deferred: u64,
    pub(crate) dead: u64,
    pub(crate) attempts: u64,
    pub(crate) duration_ms: u64,
    /// An estimate, by the buckets; without an attempt there is none.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Attempts in each bucket.
    pub(crate) latency: Vec<u64>,
}

impl StatsView {
    pub(crate) fn of(query: &RollupQuery, points: &[RollupPoint]) -> Self {
        let (mut callee, mut target, mut app) = (None, None, None);
        match &query.subject {
            RollupSubject::All => {}
            RollupSubject::Callee(name) => callee = Some(name.clone()),
            RollupSubject::Target(name) => target = Some(name.clone()),
            RollupSubject::App(name) => app = Some(name.clone()),
        }
        let mut total = RollupFigures::default();
        for point in points {
            total += &point.figures;
        }
        let points = points.iter().map(|point| StatsPointView {
            at: point.at,
            figures: FiguresView::from(&point.figures),
        });
        Self {
            callee,
            target,
            app,
            from: query.from,
            to: query.until,
            step_s: query.step / 1_000,
            latency_bounds_ms: LATENCY_BOUNDS_MS.to_vec(),
            total: FiguresView::from(&total),
            points: points.collect(),
        }
    }
}

impl From<&RollupFigures> for FiguresView {
    fn from(figures: &RollupFigures) -> Self {
        let RollupFigures {
            accepted,
            delivered,
            failed,
            deferred,
            dead,
            duration_ms,
            latency,
        } = *figures;
        // A tenth of a millisecond is more than the buckets tell.
        let quantile = |part| {
            let found = figures.latency_quantile(part);
            found.map(|ms| (ms * 10.0).round() / 10.0)
        };
        Self {
            accepted,
            delivered,
            failed,
            deferred,
            dead,
            attempts: figures.attempts(),
            duration_ms,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            latency: latency.to_vec(),
        }
    }
}

impl From<&FiguresView> for RollupFigures {
    /// Buckets that a newer server may have are left out.
    fn from(view: &FiguresView) -> Self {
        let mut figures = Self {
            accepted: view.accepted,
            delivered: view.delivered,
            failed: view.failed,
            deferred: view.deferred,
            dead: view.dead,
            duration_ms: view.duration_ms,
            ..Self::default()
        };
        for (bucket, attempts) in figures.latency.iter_mut().zip(&view.latency) {
            *bucket = *attempts;
        }
        figures
    }
}
