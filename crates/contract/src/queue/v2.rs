//! Version 2 of the message, which is written now.
//!
//! One JSON object, `"v":2` first and `request_message` last; `None` and empty values are left out.
//! `kind` says what the message is; absent means a callback. Unknown keys are kept: they are
//! written again byte for byte, at the end of their object, before `request_message`.
//!
//! New keys may be added here. A key that changes its meaning needs `v3.rs`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::error::MessageError;
use super::message::{HistoryEntry, Message};
use crate::json::to_json;
use crate::request::fields::is_object;
use crate::request::options::Options;
use crate::unknown_fields::{Collected, UnknownFields, WithUnknown};

pub(super) const VERSION: u64 = 2;

/// The kind of every message without one.
pub(super) const KIND: &str = "callback";

/// The last key. Its raw value is appended after the rest has been serialised.
const LAST_KEY: &[u8] = b",\"request_message\":";

/// Capacity for everything but `request_message`: enough for most messages, so that the buffer is
/// allocated once.
const HEAD_BYTES: usize = 640;

/// `O` and `H` are [`Options`] and [`HistoryEntry`], with or without their unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageV2<'a, O, H> {
    v: u64,
    kind: Option<Cow<'a, str>>,
    request_id: Uuid,
    app_id: String,
    caller_no: Option<String>,
    callee_no: Option<String>,
    message_type: String,
    callback_url: Option<String>,
    options: Option<O>,
    accepted_at: u64,
    generation: u32,
    attempt: u32,
    deferrals: u32,
    hold: Option<u32>,
    not_before: Option<u64>,
    scheduled_at: Option<u64>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    reply_to: Option<String>,
    history: Option<Vec<H>>,
    #[serde(borrow)]
    request_message: Option<&'a RawValue>,
}

/// Everything but unknown keys and `request_message`, in the order in which it is written.
#[derive(Serialize)]
struct Head<'a> {
    v: u64,
    request_id: Uuid,
    app_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee_no: Option<&'a str>,
    message_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<WithUnknown<'a, Options>>,
    accepted_at: u64,
    generation: u32,
    attempt: u32,
    deferrals: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "history")]
    history: &'a [HistoryEntry],
}

/// Encodes a message: the head by serde_json, then the raw bytes, copied once.
pub(super) fn encode(message: &Message) -> Vec<u8> {
    let options = &message.options;
    let head = Head {
        v: VERSION,
        request_id: message.request_id,
        app_id: &message.app_id,
        caller_no: message.caller_no.as_deref(),
        callee_no: message.callee_no.as_deref(),
        message_type: &message.message_type,
        callback_url: message.callback_url.as_deref(),
        options: (!options.is_empty()).then_some(WithUnknown(options, &options.unknown)),
        accepted_at: message.accepted_at,
        generation: message.generation,
        attempt: message.attempt,
        deferrals: message.deferrals,
        hold: (message.hold > 0).then_some(message.hold),
        not_before: message.not_before,
        scheduled_at: message.scheduled_at,
        traceparent: message.traceparent.as_deref(),
        tracestate: message.tracestate.as_deref(),
        reply_to: message.reply_to.as_deref(),
        history: &message.history,
    };
    let unknown = message.unknown.as_json();
    let mut json = to_json(
        &head,
        HEAD_BYTES + unknown.len() + message.request_message.len(),
    );
    json.pop(); // The closing brace follows the last key.
    json.extend_from_slice(unknown.as_bytes());
    json.extend_from_slice(LAST_KEY);
    json.extend_from_slice(&message.request_message);
    json.push(b'}');
    json
}

/// Decodes a message without unknown keys, a fifth faster than [`decode`].
pub(super) fn decode_known(bytes: &Bytes) -> Result<Message, MessageError> {
    let read: MessageV2<'_, Options, HistoryEntry> = serde_json::from_slice(bytes)?;
    message(read, UnknownFields::default(), bytes)
}

/// Decodes a message. Another version or kind is [`MessageError::Malformed`] here.
pub(super) fn decode(bytes: &Bytes) -> Result<Message, MessageError> {
    type WithUnknownKeys<'a> =
        Collected<MessageV2<'a, Collected<Options>, Collected<HistoryEntry>>>;
    let Collected { value, unknown }: WithUnknownKeys<'_> = serde_json::from_slice(bytes)?;
    message(value, unknown, bytes)
}

fn message<O: Into<Options>, H: Into<HistoryEntry>>(
    read: MessageV2<'_, O, H>,
    unknown: UnknownFields,
    bytes: &Bytes,
) -> Result<Message, MessageError> {
    let malformed = |reason| Err(MessageError::malformed(reason));
    if read.v != VERSION {
        return malformed("another version");
    }
    if read.kind.is_some_and(|kind| kind != KIND) {
        return malformed("another kind");
    }
    let Some(request_message) = read.request_message.filter(|message| is_object(message)) else {
        return malformed("request_message is not an object");
    };
    if read.attempt == 0 {
        return malformed("attempts are counted from 1");
    }
    if read.callback_url.is_none() && read.callee_no.is_none() {
        return malformed("neither callback_url nor callee_no");
    }
    let history = read.history.into_iter().flatten();
    Ok(Message {
        request_id: read.request_id,
        app_id: read.app_id,
        caller_no: read.caller_no,
        callee_no: read.callee_no,
        message_type: read.message_type,
        callback_url: read.callback_url,
        options: read.options.map(Into::into).unwrap_or_default(),
        accepted_at: read.accepted_at,
        generation: read.generation,
        attempt: read.attempt,
        deferrals: read.deferrals,
        hold: read.hold.unwrap_or_default(),
        not_before: read.not_before,
        scheduled_at: read.scheduled_at,
        traceparent: read.traceparent,
        tracestate: read.tracestate,
        reply_to: read.reply_to,
        history: history.map(Into::into).collect(),
        unknown,
        request_message: bytes.slice_ref(request_message.get().as_bytes()),
    })
}

impl From<Collected<Options>> for Options {
    fn from(Collected { value, unknown }: Collected<Self>) -> Self {
        Self { unknown, ..value }
    }
}

impl From<Collected<HistoryEntry>> for HistoryEntry {
    fn from(Collected { value, unknown }: Collected<Self>) -> Self {
        Self { unknown, ..value }
    }
}

fn history<S: Serializer>(history: &&[HistoryEntry], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        history
            .iter()
            .map(|entry| WithUnknown(entry, &entry.unknown)),
    )
}
