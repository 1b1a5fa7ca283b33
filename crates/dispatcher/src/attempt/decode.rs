//! Decodes messages, and settles those that this gateway cannot process.

use crate::metrics::DispatcherMetrics;
use broker::{Queue, Settlement};
use bytes::Bytes;
use contract::{IfUnknown, Message, MessageError};

/// Decodes a message from a queue.
///
/// # Errors
/// The settlement of a message that cannot be processed.
pub(crate) fn decode(
    body: &Bytes,
    queue: Queue,
    metrics: &DispatcherMetrics,
) -> Result<Message, Settlement> {
    Message::decode(body).map_err(|error| unusable(&error, queue, metrics))
}

/// A message of an unknown kind is dropped if it says so: only newer gateways need it. All other
/// messages that cannot be decoded are quarantined.
fn unusable(error: &MessageError, queue: Queue, metrics: &DispatcherMetrics) -> Settlement {
    match error {
        MessageError::UnknownKind {
            kind,
            if_unknown: IfUnknown::Drop,
        } => {
            tracing::debug!(
                queue = queue.as_str(),
                kind,
                "message of an unknown kind dropped"
            );
            metrics.unknown_kind_dropped();
            Settlement::Complete
        }
        MessageError::UnknownKind {
            if_unknown: IfUnknown::Quarantine,
            ..
        }
        | MessageError::UnknownVersion(_)
        | MessageError::Malformed(_) => {
            tracing::error!(queue = queue.as_str(), %error, "unreadable message quarantined");
            metrics.unreadable();
            Settlement::Quarantine {
                reason: error.to_string(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::MetricsRegistry;

    /// The settlement of an unusable message, and the metrics after it.
    fn refused(body: &'static str) -> (Settlement, String) {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(DispatcherMetrics::register);
        let body = Bytes::from_static(body.as_bytes());
        let settlement = decode(&body, Queue::First, &metrics).unwrap_err();
        (settlement, registry.encode())
    }

    fn assert_counts(page: &str, unreadable: u32, dropped: u32) {
        for line in [
            format!("ringback_unreadable_messages_total {unreadable}"),
            format!("ringback_unknown_messages_dropped_total {dropped}"),
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "no {line:?} in:\n{page}"
            );
        }
    }

    #[test]
    fn an_unreadable_message_is_quarantined_and_its_bytes_are_not_shown() {
        for (body, part_of_reason) in [
            ("c4n4ry", "not a message"),
            (r#"{"v":99,"c4n4ry":1}"#, "version 99"),
            (r#"{"v":2,"c4n4ry":1}"#, "not a message"),
            (r#"{"v":2,"kind":"probe","c4n4ry":1}"#, "kind \"probe\""),
            (
                r#"{"v":2,"kind":"probe","if_unknown":"c4n4ry"}"#,
                "kind \"probe\"",
            ),
            // Only a message of an unknown kind is dropped.
            (r#"{"v":2,"if_unknown":"drop","c4n4ry":1}"#, "not a message"),
            (
                r#"{"v":99,"kind":"probe","if_unknown":"drop"}"#,
                "version 99",
            ),
        ] {
            let (settlement, page) = refused(body);
            let Settlement::Quarantine { reason } = settlement else {
                panic!("{body}: {settlement:?}")
            };
            assert!(reason.contains(part_of_reason), "{body}: {reason}");
            assert!(!reason.contains("c4n4ry"), "{reason}");
            assert_counts(&page, 1, 0);
        }
    }

    #[test]
    fn a_message_of_an_unknown_kind_is_dropped_if_it_says_so() {
        let (settlement, page) = refused(r#"{"v":2,"kind":"probe","if_unknown":"drop"}"#);
        assert!(matches!(settlement, Settlement::Complete), "{settlement:?}");
        assert_counts(&page, 0, 1);
    }
}
