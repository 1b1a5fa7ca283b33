//! What message does an accepted request become, and what does the journal hear of it?

use crate::admit::Admitted;
use crate::moment::unix_ms;
use actix_web::http::header::HeaderMap;
use contract::{Message, masked_url};
use journal::{Origin, Record, State};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// The format of the body, as the broker's console shows it.
const KIND: &str = "callback.v1";

/// A message on its way into the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) message: broker::Message,
    /// How long it waits before its first attempt, if it does.
    pub(crate) delay: Option<Duration>,
    /// That it was accepted; true once the message is confirmed.
    pub(crate) record: Record,
}

/// `reply_to`: where to tell how the first attempt ended, if somebody waits for that.
pub(crate) fn compose(
    Admitted { request, target }: Admitted,
    traceparent: Option<String>,
    request_id: Uuid,
    reply_to: Option<String>,
    now: SystemTime,
) -> Queued {
    let accepted_at = unix_ms(now);
    let delay = request.options.delay_seconds.filter(|seconds| *seconds > 0);
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
        parked: 0,
        not_before: delay.map(|seconds| accepted_at + u64::from(seconds) * 1_000),
        traceparent,
        reply_to,
        history: Vec::new(),
        request_message: request.request_message,
        options: request.options,
    };
    let record = accepted(&message, target);
    let message = broker::Message {
        id: request_id.hyphenated().to_string(),
        kind: KIND,
        headers: Vec::new(),
        body: message.encode().into(),
    };
    let delay = delay.map(|seconds| Duration::from_secs(seconds.into()));
    Queued {
        message,
        delay,
        record,
    }
}

fn accepted(message: &Message, target: String) -> Record {
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
        state: State::Queued {
            not_before: message.not_before,
        },
        attempted: None,
        dead_letter: None,
    }
}

/// The caller's `traceparent`, if it is well formed (W3C Trace Context, 3.2): what is not is dropped,
/// as that text asks.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let [version, trace, span, flags] = parts.as_slice() else {
        return None;
    };
    let some = |part: &str| part.bytes().any(|it| it != b'0');
    let sound = *version == "00"
        && hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2)
        && some(trace)
        && some(span);
    sound.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use bytes::Bytes;
    use contract::Request;
    use std::time::UNIX_EPOCH;

    fn queued(options: &str) -> (Queued, Message) {
        let body = format!(
            r#"{{"callback_url":"https://x.cn/a?t=1","app_id":"a","message_type":"m","request_message":{{"n":1e400}},"options":{options}}}"#
        );
        let request = Request::parse(&Bytes::from(body), &contract::Rules::default()).unwrap();
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let target = "https://x.cn:443".to_owned();
        let admitted = Admitted { request, target };
        let queued = compose(admitted, None, Uuid::now_v7(), Some("here".to_owned()), now);
        let message = Message::decode(&queued.message.body).unwrap();
        (queued, message)
    }

    #[test]
    fn a_request_is_queued_for_its_first_attempt_at_once() {
        let (queued, message) = queued("{}");
        assert_eq!(queued.delay, None);
        assert_eq!(queued.message.id, message.request_id.to_string());
        assert_eq!((message.attempt, message.not_before), (1, None));
        assert_eq!(message.accepted_at, 1_700_000_000_123);
        assert_eq!(message.request_message, r#"{"n":1e400}"#);
        assert_eq!(message.reply_to.as_deref(), Some("here"));
    }

    #[test]
    fn a_delay_is_waited_for_and_written_into_the_message() {
        let (queued, message) = queued(r#"{"delay_seconds":60}"#);
        assert_eq!(queued.delay, Some(Duration::from_secs(60)));
        assert_eq!(message.not_before, Some(1_700_000_060_123));
        assert_eq!(queued_delay_zero(), None);
    }

    #[test]
    fn the_journal_hears_what_the_message_says_without_the_query_string() {
        let (queued, message) = queued(r#"{"delay_seconds":60}"#);
        let Record {
            origin,
            generation,
            attempt,
            at,
            state,
            attempted,
            dead_letter,
        } = queued.record;
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
            (generation, attempt, attempted, dead_letter),
            (0, 1, None, None)
        );
        let not_before = Some(1_700_000_060_123);
        assert_eq!(state, State::Queued { not_before });
    }

    fn queued_delay_zero() -> Option<Duration> {
        queued(r#"{"delay_seconds":0}"#).0.delay
    }

    #[test]
    fn only_a_sound_traceparent_is_passed_on() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(value).unwrap();
            headers.insert(HeaderName::from_static("traceparent"), value);
            traceparent(&headers)
        };
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(of(sound).as_deref(), Some(sound));
        for bad in [
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "junk",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
