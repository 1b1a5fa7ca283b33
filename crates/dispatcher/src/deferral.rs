//! Why a message is deferred.

use delivery::limits::DeferReason;

/// The cause of a deferral, which spends no attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeferralCause {
    /// The broker's longest delay is shorter than the wait, so the message came back early.
    NotDue,
    /// A limit of its target.
    Limit(DeferReason),
    /// An internal error, by the outcome's label.
    InternalError(&'static str),
}

impl DeferralCause {
    /// Its name in logs, metrics and records: `snake_case`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotDue => "not_due",
            Self::Limit(limit) => limit.as_str(),
            Self::InternalError(outcome) => outcome,
        }
    }
}
