//! The JSON of the API's responses, as the server writes and the commands read it.

use contract::CallbackStatus;
use delivery::CalleeRegistry;
use journal::{AttemptRecord, Callback, Pause, PauseKind, StoredAuditEntry};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::explain::explain;
use super::explain::facts::CallbackFacts;
use super::known_callees;
use super::rfc3339;
use crate::doctor::Finding;
use crate::guard_check::GuardReport;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ItemsPage<T> {
    pub(crate) items: Vec<T>,
    /// The `after` of the next page, if there is one.
    pub(crate) next: Option<String>,
}

/// A callback. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct CallbackView {
    pub(crate) request_id: Uuid,
    /// As of now: `delivering` if a process is known to hold it.
    #[serde(with = "status")]
    #[schema(value_type = String)]
    pub(crate) status: CallbackStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Why it waits or has ended, and what happens next, for people.
    pub(crate) explanation: String,
    /// The same in Chinese, in this process.
    #[serde(skip)]
    pub(crate) explanation_zh: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deferred_reason: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) next_attempt_at: Option<u64>,
    /// Since when its attempt is due, if it has not ended and is due.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) due_since: Option<u64>,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: u64,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: u64,
    pub(crate) app_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caller_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    /// The callee's name, if it is registered and has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callback_url: Option<String>,
    /// Scheme, host and port; empty if unknown.
    pub(crate) target: String,
    pub(crate) message_type: String,
    /// How often it was replayed.
    pub(crate) generation: u32,
    /// How often it was retried now in this generation.
    #[serde(default)]
    pub(crate) hold: u32,
    /// Whether the journal has its message: it can be retried now, or replayed.
    #[serde(default)]
    pub(crate) has_message: bool,
    pub(crate) cancel_requested: bool,
    pub(crate) discarded: bool,
    /// Not by an operator, but because of its age.
    #[serde(default)]
    pub(crate) discarded_by_retention: bool,
    /// The cause of the last attempt, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_cause: Option<String>,
    /// Oldest first; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attempts: Vec<AttemptView>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AttemptView {
    pub(crate) generation: u32,
    pub(crate) number: u32,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: u64,
    pub(crate) duration_ms: u64,
    pub(crate) outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// The cause of a failure in the words of what reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
}

/// The message of a callback, and what targets answered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PayloadView {
    pub(crate) request_id: Uuid,
    /// The queue message, if the journal has it.
    #[schema(value_type = Option<Object>)]
    pub(crate) message: Option<Box<RawValue>>,
    /// Of the attempts whose answers were kept, oldest first.
    pub(crate) answers: Vec<AnswerView>,
}

/// What a target answered to an attempt that did not deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AnswerView {
    pub(crate) generation: u32,
    pub(crate) number: u32,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    /// The beginning of the body, masked, with escapes for control characters.
    pub(crate) answer: String,
}

/// How many dead letters are selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MatchedView {
    /// Dead letters now. The bodies of some may be past their retention; those cannot be replayed.
    pub(crate) matched: u64,
    /// The time of counting. As `updated_before` it excludes what is dead-lettered later.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) now: u64,
}

/// The result of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelResult {
    /// It will not be delivered.
    Cancelled,
    /// An attempt may be in progress; it is cancelled when it waits again.
    Requested,
}

/// The answer to a cancellation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct CancelView {
    pub(crate) request_id: Uuid,
    pub(crate) result: CancelResult,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditView {
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) occurred_at: u64,
    /// When the last of its requests ended.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: u64,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PauseView {
    /// `callee`, `target`, `app`, `message_type`, `intake` or `deliveries`.
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    /// The callee's name, if it is registered and has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) app_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_type: Option<String>,
    pub(crate) actor: String,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) paused_at: u64,
    pub(crate) reason: String,
}

/// The answer to a request to pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PausedView {
    pub(crate) paused: String,
    /// False: it was paused already.
    pub(crate) new: bool,
    /// Where the pause is in force.
    pub(crate) scope: PauseScope,
}

/// Which processes know a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PauseScope {
    /// All that share the journal.
    AllProcesses,
    /// The one that was asked, until it ends: no journal is configured.
    ThisProcess,
}

/// What the checks of a process found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DoctorView {
    /// When the process began to answer, by its clock.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) now: u64,
    /// Role, machine and process.
    pub(crate) process: String,
    pub(crate) findings: Vec<Finding>,
}

/// Whether a target may be called, as a process has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct GuardView {
    /// Role, machine and process.
    pub(crate) process: String,
    #[serde(flatten)]
    pub(crate) report: GuardReport,
}

/// An unreadable message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UnreadableView {
    /// Equal bytes have equal ids.
    pub(crate) id: String,
    /// The bytes of its body.
    pub(crate) size: usize,
    /// The queue that it was read from, if its headers tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) quarantined_at: Option<u64>,
    /// Why it could not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Whether the process that was asked can decode it.
    pub(crate) readable_now: bool,
    /// The first bytes of its body, with escapes; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beginning: Option<String>,
}

/// The oldest unreadable messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnreadablePage {
    #[serde(flatten)]
    pub(crate) page: ItemsPage<UnreadableView>,
    /// How many are in the queue, as last counted: at least those that are listed.
    pub(crate) waiting: usize,
}

impl CallbackView {
    /// The callback as of `now`, Unix ms, with what is known besides its row.
    pub(super) fn of(callback: Callback, facts: &CallbackFacts, now: u64) -> Self {
        let status = callback.status_if(facts.holder.is_some());
        let (explanation, explanation_zh) = explain(&callback, facts, now).into_parts();
        let due_since = callback.due_since(now);
        let last = callback.attempts.last();
        let last_cause = last.and_then(|attempt| attempt.cause.clone());
        let origin = callback.origin;
        Self {
            request_id: origin.request_id,
            status,
            reason: callback.reason,
            explanation,
            explanation_zh,
            deferred_reason: callback.deferred_reason,
            next_attempt_at: callback.next_attempt_at,
            due_since,
            created_at: origin.accepted_at,
            updated_at: callback.updated_at,
            app_id: origin.app_id,
            caller_no: origin.caller_no,
            callee_no: origin.callee_no,
            callee_name: None,
            callback_url: origin.callback_url,
            target: origin.target,
            message_type: origin.message_type,
            generation: callback.generation,
            hold: callback.hold,
            has_message: callback.has_message,
            cancel_requested: callback.cancel_requested,
            discarded: callback.discarded,
            discarded_by_retention: callback.discarded_by_retention,
            last_cause,
            attempts: callback
                .attempts
                .into_iter()
                .map(AttemptView::from)
                .collect(),
        }
    }
}

impl CallbackView {
    /// Adds the name of its callee.
    pub(super) fn with_callee_name(mut self, registry: &CalleeRegistry) -> Self {
        self.callee_name = known_callees::name_of(self.callee_no.as_ref(), registry);
        self
    }
}

impl PauseView {
    /// Adds the name of its callee.
    pub(super) fn with_callee_name(mut self, registry: &CalleeRegistry) -> Self {
        self.callee_name = known_callees::name_of(self.callee_no.as_ref(), registry);
        self
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
            cause: attempt.cause,
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
        let name = |kind: PauseKind| (pause.kind == kind).then(|| pause.name.clone());
        Self {
            kind: pause.kind.to_string(),
            callee_no: name(PauseKind::Callee),
            callee_name: None,
            target: name(PauseKind::Target),
            app_id: name(PauseKind::App),
            message_type: name(PauseKind::MessageType),
            actor: pause.paused_by,
            paused_at: pause.paused_at,
            reason: pause.reason,
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
