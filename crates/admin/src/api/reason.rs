//! Why a callback was dead-lettered or is deferred, by name: as read from the journal, a message
//! header or a filter.

use delivery::DeadLetterReason;
use delivery::limits::DeferReason;

/// The reason of a dead letter whose record was lost.
pub(super) const UNKNOWN: &str = "unknown";

const ALL: [DeadLetterReason; 6] = [
    DeadLetterReason::Exhausted,
    DeadLetterReason::Rejected,
    DeadLetterReason::Redirected,
    DeadLetterReason::AddressRefused,
    DeadLetterReason::Expired,
    DeadLetterReason::DeliveryLimit,
];

/// The reason of this name.
pub(super) fn parse(name: &str) -> Option<DeadLetterReason> {
    ALL.into_iter().find(|reason| reason.as_str() == name)
}

/// The reasons by which dead letters can be filtered. What has expired has a status of its own.
pub(crate) fn of_dead_letters() -> impl Iterator<Item = &'static str> + Clone {
    let reasons = ALL
        .iter()
        .filter(|reason| **reason != DeadLetterReason::Expired);
    reasons.map(|reason| reason.as_str()).chain([UNKNOWN])
}

/// Every reason for which a callback is deferred: a limit, a time that is not due, or an internal
/// error by the outcome's label.
pub(crate) fn of_deferrals() -> impl Iterator<Item = &'static str> + Clone {
    let limits = [
        DeferReason::InFlight,
        DeferReason::Rate,
        DeferReason::BreakerOpen,
        DeferReason::RetryAfter,
        DeferReason::Paused,
        DeferReason::AppInFlight,
    ];
    let others = ["not_due", "resolver_down", "failed", "panic"];
    limits.into_iter().map(DeferReason::as_str).chain(others)
}

/// In a filter beside the reasons of deferrals: it waits for the time that its caller asked for.
pub(crate) const DELAYED: &str = "delayed";

/// What a callback can wait for, in a filter.
pub(crate) fn of_waits() -> impl Iterator<Item = &'static str> + Clone {
    of_deferrals().chain([DELAYED])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_by_its_name() {
        assert_eq!(parse("exhausted"), Some(DeadLetterReason::Exhausted));
        assert_eq!(parse("x"), None);
    }
}
