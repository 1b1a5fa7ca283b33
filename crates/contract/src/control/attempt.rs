//! Attempts as they end, for operators who watch.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many attempts one answer holds: the newest.
pub const MAX_ATTEMPTS_SEEN: usize = 500;

/// Which attempts are asked for: every condition must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptsAsked {
    /// Those that ended within this time, in ms, by the clock of the process that made them.
    pub within_ms: u64,
    /// Of this app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// For this callee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callee_no: Option<String>,
    /// For this target: scheme, host and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Of this message type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_type: Option<String>,
    /// With this outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Those alone that did not deliver.
    pub failed: bool,
}

/// One attempt that has ended. Times are Unix ms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptSeen {
    /// Its number in its process, from 1: with the instance it names the attempt.
    pub sequence: u64,
    /// Of the callback.
    pub request_id: Uuid,
    /// The caller's app.
    pub app_id: String,
    /// The callee's number, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callee_no: Option<String>,
    /// Scheme, host and port.
    pub target: String,
    /// Of the callback.
    pub message_type: String,
    /// From 1; deferrals do not count.
    pub attempt: u32,
    /// When it ended.
    pub ended_at: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// The outcome's label.
    pub outcome: String,
    /// Absent without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The cause of a failure in the words of what reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What follows: `delivered`, `retry`, `deferred` or `dead_lettered`.
    pub verdict: String,
    /// When the next attempt is due, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<u64>,
}

/// The attempts of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptsSeen {
    /// Oldest first, at most [`MAX_ATTEMPTS_SEEN`].
    pub attempts: Vec<AttemptSeen>,
    /// Whether others that were asked for are not among them.
    pub left_out: bool,
}

impl AttemptsAsked {
    /// Whether the attempt is asked for, but for its time.
    #[must_use]
    pub fn selects(&self, attempt: &AttemptSeen) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        let callee_no = attempt.callee_no.as_deref().unwrap_or_default();
        is(&self.app_id, &attempt.app_id)
            && is(&self.callee_no, callee_no)
            && is(&self.target, &attempt.target)
            && is(&self.message_type, &attempt.message_type)
            && is(&self.outcome, &attempt.outcome)
            && !(self.failed && attempt.verdict == DELIVERED)
    }
}

/// The verdict of an attempt that delivered.
const DELIVERED: &str = "delivered";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_must_hold() {
        let attempt = AttemptSeen {
            app_id: "crm".to_owned(),
            callee_no: Some("EO001".to_owned()),
            target: "https://h.example:443".to_owned(),
            message_type: "order".to_owned(),
            outcome: "answered_5xx".to_owned(),
            verdict: "retry".to_owned(),
            ..AttemptSeen::default()
        };
        let text = |text: &str| Some(text.to_owned());
        let any = AttemptsAsked::default();
        let all = AttemptsAsked {
            within_ms: 1,
            app_id: text("crm"),
            callee_no: text("EO001"),
            target: text("https://h.example:443"),
            message_type: text("order"),
            outcome: text("answered_5xx"),
            failed: true,
        };
        assert!(any.selects(&attempt) && all.selects(&attempt));
        for other in [
            AttemptsAsked {
                app_id: text("erp"),
                ..all.clone()
            },
            AttemptsAsked {
                callee_no: text("EO002"),
                ..all.clone()
            },
            AttemptsAsked {
                target: text("https://h.example:444"),
                ..all.clone()
            },
            AttemptsAsked {
                message_type: text("x"),
                ..all.clone()
            },
            AttemptsAsked {
                outcome: text("timeout"),
                ..all.clone()
            },
        ] {
            assert!(!other.selects(&attempt), "{other:?}");
        }
        let delivered = AttemptSeen {
            verdict: text("delivered").unwrap(),
            ..attempt
        };
        let failed = AttemptsAsked {
            failed: true,
            ..any.clone()
        };
        assert!(any.selects(&delivered) && !failed.selects(&delivered));
    }
}
