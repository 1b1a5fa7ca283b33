//! Why a callback was dead-lettered, read back from the journal or a message header.

use delivery::DeadLetterReason;

/// The reason of a dead letter whose record was lost.
pub(super) const UNKNOWN: &str = "unknown";

/// The reason of this name.
pub(super) fn parse(name: &str) -> Option<DeadLetterReason> {
    let all = [
        DeadLetterReason::Exhausted,
        DeadLetterReason::Rejected,
        DeadLetterReason::Redirected,
        DeadLetterReason::AddressRefused,
        DeadLetterReason::Expired,
        DeadLetterReason::DeliveryLimit,
    ];
    all.into_iter().find(|reason| reason.as_str() == name)
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
