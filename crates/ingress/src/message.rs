//! Builds the queue message and the first journal record of an accepted request.

use actix_web::http::header::HeaderMap;
use broker::BrokerMessage;
use contract::{Message, TraceContext, UnknownFields, masked_url, tracestate};
use journal::{Origin, Record, RecordedState};
use std::time::Duration;
use uuid::Uuid;

use crate::validate_target::ValidatedRequest;

/// A message to publish.
#[derive(Debug)]
pub(crate) struct OutgoingMessage {
    pub(crate) message: BrokerMessage,
    /// How long to wait before the first attempt.
    pub(crate) delay: Option<Duration>,
    /// The record of the acceptance, to be written once the message is confirmed.
    pub(crate) accepted: Record,
}

/// Builds the message of a request accepted at `accepted_at`, Unix ms. To `reply_to` the dispatcher
/// sends the outcome of the first attempt, if the caller waits for it.
pub(crate) fn compose(
    validated: ValidatedRequest,
    trace: CallerTrace,
    request_id: Uuid,
    reply_to: Option<String>,
    accepted_at: u64,
) -> OutgoingMessage {
    let delay = validated.delay_seconds();
    let ValidatedRequest { request, target } = validated;
    let message = Message {
        request_id,
        app_id: request.app_id,
        caller_no: request.caller_no,
        callee_no: request.callee_no,
        message_type: request.message_type,
        callback_url: request.callback_url,
        accepted_at,
        generation: 0,
        attempt: 1,
        deferrals: 0,
        hold: 0,
        not_before: delay.map(|seconds| accepted_at + u64::from(seconds) * 1_000),
        scheduled_at: None, // At `accepted_at`.
        traceparent: trace.traceparent,
        tracestate: trace.tracestate,
        reply_to,
        history: Vec::new(),
        unknown: UnknownFields::default(),
        request_message: request.request_message,
        options: request.options,
    };
    let accepted = accepted_record(&message, target);
    let message = BrokerMessage {
        id: request_id.hyphenated().to_string(),
        kind: Message::AMQP_TYPE,
        headers: Vec::new(),
        body: message.encode().into(),
    };
    let delay = delay.map(|seconds| Duration::from_secs(seconds.into()));
    OutgoingMessage {
        message,
        delay,
        accepted,
    }
}

fn accepted_record(message: &Message, target: String) -> Record {
    let origin = Origin {
        request_id: message.request_id,
        app_id: message.app_id.clone(),
        caller_no: message.caller_no.clone(),
        callee_no: message.callee_no.clone(),
        message_type: message.message_type.clone(),
        callback_url: message.callback_url.as_deref().map(masked_url),
        target,
        accepted_at: message.accepted_at,
    };
    Record {
        origin,
        generation: message.generation,
        attempt: message.attempt,
        at: message.accepted_at,
        state: RecordedState::Queued {
            not_before: message.not_before,
        },
        attempted: None,
        hold: 0,
        message: None,
    }
}

/// The caller's trace, as it is passed on.
#[derive(Debug, Default)]
pub(crate) struct CallerTrace {
    pub(crate) traceparent: Option<String>,
    pub(crate) tracestate: Option<String>,
}

impl CallerTrace {
    /// A malformed `traceparent` is dropped, and a `tracestate` with it (W3C Trace Context, 3.2 and 3.3).
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let traceparent = headers.get("traceparent");
        let traceparent = traceparent.and_then(|value| value.to_str().ok());
        let Some(traceparent) = traceparent.filter(|value| TraceContext::parse(value).is_some())
        else {
            return Self::default();
        };
        let values: Option<Vec<&str>> = headers
            .get_all("tracestate")
            .map(|value| value.to_str().ok())
            .collect();
        // Several headers are one list.
        let list = values.unwrap_or_default().join(",");
        Self {
            traceparent: Some(traceparent.to_owned()),
            tracestate: tracestate(&list).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use bytes::Bytes;
    use contract::Request;

    fn composed(options: &str) -> (OutgoingMessage, Message) {
        let body = format!(
            r#"{{"callback_url":"https://x.cn/a?t=1","app_id":"a","message_type":"m","request_message":{{"n":1e400}},"options":{options}}}"#
        );
        let request = Request::parse(&Bytes::from(body), &contract::Rules::default()).unwrap();
        let target = "https://x.cn:443".to_owned();
        let validated = ValidatedRequest { request, target };
        let reply_to = Some("here".to_owned());
        let outgoing = compose(
            validated,
            CallerTrace::default(),
            Uuid::now_v7(),
            reply_to,
            1_700_000_000_123,
        );
        let message = Message::decode(&outgoing.message.body).unwrap();
        (outgoing, message)
    }

    #[test]
    fn a_request_without_a_delay_is_attempted_at_once() {
        let (outgoing, message) = composed("{}");
        assert_eq!(outgoing.delay, None);
        assert_eq!(outgoing.message.id, message.request_id.to_string());
        assert_eq!((message.attempt, message.not_before), (1, None));
        assert_eq!(message.accepted_at, 1_700_000_000_123);
        assert_eq!(message.request_message, r#"{"n":1e400}"#);
        assert_eq!(message.reply_to.as_deref(), Some("here"));
    }

    #[test]
    fn a_delay_is_applied_and_written_into_the_message() {
        let (outgoing, message) = composed(r#"{"delay_seconds":60}"#);
        assert_eq!(outgoing.delay, Some(Duration::from_secs(60)));
        assert_eq!(message.not_before, Some(1_700_000_060_123));
        let (outgoing, _) = composed(r#"{"delay_seconds":0}"#);
        assert_eq!(outgoing.delay, None);
    }

    #[test]
    fn the_record_repeats_the_message_without_the_query_string() {
        let (outgoing, message) = composed(r#"{"delay_seconds":60}"#);
        let Record {
            origin,
            generation,
            attempt,
            at,
            state,
            attempted,
            hold,
            message: kept,
        } = outgoing.accepted;
        assert_eq!(origin.request_id, message.request_id);
        assert_eq!(
            (origin.app_id, origin.message_type),
            ("a".into(), "m".into())
        );
        assert_eq!(origin.callback_url.as_deref(), Some("https://x.cn/a?***"));
        assert_eq!(origin.target, "https://x.cn:443");
        assert_eq!(
            (origin.accepted_at, at),
            (message.accepted_at, message.accepted_at)
        );
        assert_eq!(
            (generation, hold, attempt, attempted, kept),
            (0, 0, 1, None, None)
        );
        let not_before = Some(1_700_000_060_123);
        assert_eq!(state, RecordedState::Queued { not_before });
    }

    #[test]
    fn only_a_valid_traceparent_is_passed_on_and_a_tracestate_with_it() {
        let of = |parent: &str, states: &[&str]| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(parent).unwrap();
            headers.insert(HeaderName::from_static("traceparent"), value);
            for state in states {
                let value = HeaderValue::from_str(state).unwrap();
                headers.append(HeaderName::from_static("tracestate"), value);
            }
            let CallerTrace {
                traceparent,
                tracestate,
            } = CallerTrace::read(&headers);
            (traceparent, tracestate)
        };
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let passed_on = |state: Option<&str>| (Some(valid.to_owned()), state.map(str::to_owned));
        assert_eq!(of(valid, &[]), passed_on(None));
        assert_eq!(of(valid, &["a=1", "b=2"]), passed_on(Some("a=1,b=2")));
        let long = "x".repeat(600);
        assert_eq!(of(valid, &[&long]), passed_on(None));
        assert_eq!(of("junk", &["a=1"]), (None, None));
    }
}
