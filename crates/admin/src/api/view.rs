//! The JSON of the API's responses, as the server writes and the commands read it.

use std::time::Duration;

use contract::CallbackStatus;
use delivery::limits::{LimitKey, Remainder, TargetStats, TopTargets};
use journal::{AttemptRecord, Callback, Pause, PauseKind, StoredAuditEntry};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::explain::explain;
use super::rfc3339;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ItemsPage<T> {
    pub(crate) items: Vec<T>,
    /// The `after` of the next page, if there is one.
    pub(crate) next: Option<String>,
}

/// A callback. Times are Unix ms here and RFC 3339 in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallbackView {
    pub(crate) request_id: Uuid,
    /// As of now: `delivering` if the next attempt is due.
    #[serde(with = "status")]
    pub(crate) status: CallbackStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Why it waits or has ended, and what happens next, for people.
    pub(crate) explanation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deferred_reason: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    pub(crate) next_attempt_at: Option<u64>,
    #[serde(with = "rfc3339")]
    pub(crate) created_at: u64,
    #[serde(with = "rfc3339")]
    pub(crate) updated_at: u64,
    pub(crate) app_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caller_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callback_url: Option<String>,
    /// Scheme, host and port; empty if unknown.
    pub(crate) target: String,
    pub(crate) message_type: String,
    /// How often it was replayed.
    pub(crate) generation: u32,
    pub(crate) cancel_requested: bool,
    pub(crate) discarded: bool,
    /// Not by an operator, but because of its age.
    #[serde(default)]
    pub(crate) discarded_by_retention: bool,
    /// Oldest first; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attempts: Vec<AttemptView>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttemptView {
    pub(crate) generation: u32,
    pub(crate) number: u32,
    #[serde(with = "rfc3339")]
    pub(crate) started_at: u64,
    pub(crate) duration_ms: u64,
    pub(crate) outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// How many dead letters are selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MatchedView {
    /// Dead letters now. The bodies of some may be past their retention; those cannot be replayed.
    pub(crate) matched: u64,
    /// The time of counting. As `updated_before` it excludes what is dead-lettered later.
    #[serde(with = "rfc3339")]
    pub(crate) now: u64,
}

/// The result of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelResult {
    /// It will not be delivered.
    Cancelled,
    /// An attempt may be in progress; it is cancelled when it waits again.
    Requested,
}

/// The answer to a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CancelView {
    pub(crate) request_id: Uuid,
    pub(crate) result: CancelResult,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditView {
    #[serde(with = "rfc3339")]
    pub(crate) occurred_at: u64,
    /// When the last of its requests ended.
    #[serde(with = "rfc3339")]
    pub(crate) updated_at: u64,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PauseView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    pub(crate) actor: String,
    #[serde(with = "rfc3339")]
    pub(crate) paused_at: u64,
    pub(crate) reason: String,
}

/// The answer to a request to pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PausedView {
    pub(crate) paused: String,
    /// False: it was paused already.
    pub(crate) new: bool,
}

/// A callee or target as one dispatcher sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    pub(crate) in_flight: u32,
    /// Waiting in memory for a permit.
    pub(crate) waiting: u32,
    /// Since the dispatcher knows the target.
    pub(crate) deferrals: u64,
    /// The worst state among its apps.
    pub(crate) breaker: String,
    /// For how many apps the breaker is open or half open.
    #[serde(default)]
    pub(crate) breaker_apps: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) probe_in_s: Option<f64>,
    /// What remains of the target's `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_s: Option<f64>,
    /// Finished calls since the dispatcher knows the target.
    pub(crate) calls: u64,
    /// Of the calls within the breaker's window; null without calls.
    pub(crate) success_ratio: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) paused: bool,
}

/// One page of targets, and the sum of those behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetsView {
    #[serde(flatten)]
    pub(crate) page: ItemsPage<TargetView>,
    pub(crate) others: OthersView,
}

/// The targets behind a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OthersView {
    pub(crate) count: usize,
    pub(crate) in_flight: u32,
    pub(crate) deferrals: u64,
    pub(crate) calls: u64,
}

impl CallbackView {
    /// The callback as of `now`, Unix ms.
    pub(super) fn of(callback: Callback, now: u64) -> Self {
        let status = callback.status_at(now);
        let explanation = explain(&callback, now);
        let origin = callback.origin;
        Self {
            request_id: origin.request_id,
            status,
            reason: callback.reason,
            explanation,
            deferred_reason: callback.deferred_reason,
            next_attempt_at: callback.next_attempt_at,
            created_at: origin.accepted_at,
            updated_at: callback.updated_at,
            app_id: origin.app_id,
            caller_no: origin.caller_no,
            callee_no: origin.callee_no,
            callback_url: origin.callback_url,
            target: origin.target,
            message_type: origin.message_type,
            generation: callback.generation,
            cancel_requested: callback.cancel_requested,
            discarded: callback.discarded,
            discarded_by_retention: callback.discarded_by_retention,
            attempts: callback
                .attempts
                .into_iter()
                .map(AttemptView::from)
                .collect(),
        }
    }
}

impl From<AttemptRecord> for AttemptView {
    fn from(attempt: AttemptRecord) -> Self {
        Self {
            generation: attempt.generation,
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            outcome: attempt.outcome,
            http_status: attempt.http_status,
            detail: attempt.detail,
        }
    }
}

impl From<StoredAuditEntry> for AuditView {
    fn from(StoredAuditEntry { entry, updated_at }: StoredAuditEntry) -> Self {
        Self {
            occurred_at: entry.occurred_at,
            updated_at,
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            reason: entry.reason,
            count: entry.count,
        }
    }
}

impl From<Pause> for PauseView {
    fn from(pause: Pause) -> Self {
        let (callee_no, target) = match pause.kind {
            PauseKind::Callee => (Some(pause.name), None),
            PauseKind::Target => (None, Some(pause.name)),
        };
        Self {
            callee_no,
            target,
            actor: pause.paused_by,
            paused_at: pause.paused_at,
            reason: pause.reason,
        }
    }
}

impl TargetView {
    pub(super) fn of(stats: &TargetStats, paused: bool) -> Self {
        let (callee_no, target) = match &stats.key {
            LimitKey::Callee(no) => (Some(no.to_string()), None),
            LimitKey::Target(target) => (None, Some(target.to_string())),
        };
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let ms = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1_000.0);
        Self {
            callee_no,
            target,
            in_flight: stats.in_flight,
            waiting: stats.waiting,
            deferrals: stats.deferrals,
            breaker: stats.breaker.as_str().to_owned(),
            breaker_apps: stats.breakers_not_closed,
            probe_in_s: seconds(stats.probe_in),
            retry_after_s: seconds(stats.held_for),
            calls: stats.attempts.iter().sum(),
            success_ratio: stats.success_ratio(),
            p50_ms: ms(stats.p50),
            p99_ms: ms(stats.p99),
            paused,
        }
    }
}

impl TargetsView {
    /// The page behind the `offset` busiest targets; `top` holds those before it too.
    pub(super) fn of(
        top: &TopTargets,
        offset: usize,
        is_paused: impl Fn(&LimitKey) -> bool,
    ) -> Self {
        let page = top.targets.iter().skip(offset);
        let items = page.map(|stats| TargetView::of(stats, is_paused(&stats.key)));
        let next = (top.remainder.targets > 0).then(|| top.targets.len().to_string());
        Self {
            page: ItemsPage {
                items: items.collect(),
                next,
            },
            others: OthersView::from(&top.remainder),
        }
    }
}

impl From<&Remainder> for OthersView {
    fn from(remainder: &Remainder) -> Self {
        Self {
            count: remainder.targets,
            in_flight: remainder.in_flight,
            deferrals: remainder.deferrals,
            calls: remainder.attempts.iter().sum(),
        }
    }
}

/// Serde adapter: a status as its word.
mod status {
    use contract::CallbackStatus;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        status: &CallbackStatus,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(status.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<CallbackStatus, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
