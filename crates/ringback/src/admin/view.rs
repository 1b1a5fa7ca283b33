//! How does a callback look in the operators' answers?

use journal::{Attempt, Audit, Callback};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::moment;
use super::why;

/// A callback. Times are Unix ms here and RFC 3339 in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallbackView {
    pub(crate) request_id: Uuid,
    /// As people see it now: `delivering` where its time has come.
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What it waits for, or why nothing more will happen, and what comes next: for people.
    #[serde(default)]
    pub(crate) why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiting_for: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "moment::as_optional_text"
    )]
    pub(crate) next_attempt_at: Option<u64>,
    #[serde(with = "moment::as_text")]
    pub(crate) created_at: u64,
    #[serde(with = "moment::as_text")]
    pub(crate) updated_at: u64,
    pub(crate) app_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caller_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callback_url: Option<String>,
    /// Scheme, host and port; empty where there was none.
    pub(crate) target: String,
    pub(crate) message_type: String,
    /// How often it was replayed.
    pub(crate) generation: u32,
    pub(crate) cancel_requested: bool,
    pub(crate) discarded: bool,
    /// Oldest first; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attempts: Vec<AttemptView>,
}

/// One call that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttemptView {
    pub(crate) generation: u32,
    pub(crate) number: u32,
    #[serde(with = "moment::as_text")]
    pub(crate) started_at: u64,
    pub(crate) duration_ms: u64,
    pub(crate) outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// A page of callbacks, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PageView {
    pub(crate) callbacks: Vec<CallbackView>,
    /// What to ask with for the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Uuid>,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditView {
    #[serde(with = "moment::as_text")]
    pub(crate) at: u64,
    pub(crate) who: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

impl CallbackView {
    /// The callback as it stands at `now`, Unix ms.
    pub(super) fn of(callback: Callback, now: u64) -> Self {
        let status = callback.status_at(now).to_string();
        let origin = callback.origin;
        let mut view = Self {
            request_id: origin.request_id,
            status,
            reason: callback.reason,
            why: String::new(),
            waiting_for: callback.waiting_for,
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
            attempts: callback
                .attempts
                .into_iter()
                .map(AttemptView::from)
                .collect(),
        };
        view.why = why::why(&view, now);
        view
    }
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
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

impl From<Audit> for AuditView {
    fn from(audit: Audit) -> Self {
        Self {
            at: audit.at,
            who: audit.who,
            action: audit.action,
            subject: audit.subject,
            reason: audit.reason,
            count: audit.count,
        }
    }
}
