//! Decodes messages, and settles those that this gateway cannot process.

use crate::metrics::DispatcherMetrics;
use broker::{Queue, Settlement};
use bytes::Bytes;
use contract::{IfUnknown, Message, MessageError, Probe};
use runtime::clock::now_ms;

/// What is received in place of a callback.
#[derive(Debug)]
pub(crate) enum NotACallback {
    /// It is answered, and then completed.
    Probe(Probe),
    /// It cannot be processed, and is settled so.
    Unusable(Settlement),
}

impl NotACallback {
    /// Its settlement where no answer would be true: a probe asks about work queues only.
    pub(crate) fn settlement(self) -> Settlement {
        match self {
            Self::Probe(_) => Settlement::Complete,
            Self::Unusable(settlement) => settlement,
        }
    }
}

/// Decodes a message from a queue.
///
/// # Errors
/// What it is instead.
pub(crate) fn decode(
    body: &Bytes,
    queue: Queue,
    metrics: &DispatcherMetrics,
) -> Result<Message, NotACallback> {
    Message::decode(body).map_err(|error| match Probe::in_undecoded(body, &error) {
        Some(probe) => NotACallback::Probe(probe),
        None => NotACallback::Unusable(unusable(&error, queue, metrics)),
    })
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
                at: now_ms(),
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
        let refused = decode(&body, Queue::First, &metrics).unwrap_err();
        assert!(matches!(refused, NotACallback::Unusable(_)), "{refused:?}");
        (refused.settlement(), registry.encode())
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
            let Settlement::Quarantine { reason, .. } = settlement else {
                panic!("{body}: {settlement:?}")
            };
            assert!(reason.contains(part_of_reason), "{body}: {reason}");
            assert!(!reason.contains("c4n4ry"), "{reason}");
            assert_counts(&page, 1, 0);
        }
    }

    #[test]
    fn a_probe_is_neither_unreadable_nor_unknown() {
        let probe = Probe {
            probe_id: uuid::Uuid::from_u128(7),
            reply_to: "there".to_owned(),
            sent_at: 1,
        };
        let registry = MetricsRegistry::new();
        let metrics = registry.add(DispatcherMetrics::register);
        let decoded = decode(&probe.encode().into(), Queue::Retry, &metrics).unwrap_err();
        let NotACallback::Probe(found) = &decoded else {
            panic!("{decoded:?}")
        };
        assert_eq!(*found, probe);
        assert!(matches!(decoded.settlement(), Settlement::Complete));
        assert_counts(&registry.encode(), 0, 0);
    }

    #[test]
    fn a_message_of_an_unknown_kind_is_dropped_if_it_says_so() {
        let (settlement, page) = refused(r#"{"v":2,"kind":"other","if_unknown":"drop"}"#);
        assert!(matches!(settlement, Settlement::Complete), "{settlement:?}");
        assert_counts(&page, 0, 1);
    }
}
