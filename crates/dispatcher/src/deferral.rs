//! Why a message is deferred.

use delivery::Outcome;
use delivery::limits::DeferReason;

/// The name of the internal error that an attempt panicked.
pub(crate) const PANIC: &str = "panic";

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
    /// The name of every cause. An internal error is one of three: nothing resolves, another failure
    /// of ours, or a panic.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        let limits = DeferReason::ALL.into_iter().map(Self::Limit);
        let errors = [
            Outcome::ResolverDown.label(),
            Outcome::Failed.label(),
            PANIC,
        ];
        let errors = errors.map(Self::InternalError);
        let causes = limits.chain([Self::NotDue]).chain(errors);
        causes.map(Self::as_str)
    }

    /// Its name in logs, metrics and records: `snake_case`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotDue => "not_due",
            Self::Limit(limit) => limit.as_str(),
            Self::InternalError(outcome) => outcome,
        }
    }
}

/// The reasons for deferrals in records and metrics.
pub fn deferral_reasons() -> impl Iterator<Item = &'static str> {
    DeferralCause::names()
}
