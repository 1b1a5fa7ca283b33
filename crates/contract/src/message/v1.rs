//! How is a message of version 1 written, to the byte?
//!
//! One JSON object, `"v":1` first and `request_message` last; what is `None` or empty is left
//! out. Never edit this format: add `v2.rs`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Attempt, Message, Unreadable};
use crate::Options;
use crate::fields::is_object;
use crate::json::to_json;

/// The version that this file reads and writes.
pub(super) const VERSION: u64 = 1;

/// What stands before the raw bytes, which are appended after the rest was serialised.
const LAST_KEY: &[u8] = b",\"request_message\":";

/// Room for everything but `request_message`; a guess that spares most messages a second
/// allocation.
const HEAD_BYTES: usize = 640;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageV1<'a> {
    v: u64,
    request_id: Uuid,
    app_id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller_no: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callee_no: Option<Cow<'a, str>>,
    message_type: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback_url: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "asks_for_nothing")]
    options: Cow<'a, Options>,
    accepted_at: u64,
    generation: u32,
    attempt: u32,
    parked: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    history: Cow<'a, [Attempt]>,
    /// Only read: it is written as the bytes it came as.
    #[serde(borrow, skip_serializing)]
    request_message: Option<&'a RawValue>,
}

/// Writes a message: the head by serde_json, then the raw bytes, copied once.
pub(super) fn encode(message: &Message) -> Vec<u8> {
    let head = MessageV1 {
        v: VERSION,
        request_id: message.request_id,
        app_id: Cow::Borrowed(&message.app_id),
        caller_no: message.caller_no.as_deref().map(Cow::Borrowed),
        callee_no: message.callee_no.as_deref().map(Cow::Borrowed),
        message_type: Cow::Borrowed(&message.message_type),
        callback_url: message.callback_url.as_deref().map(Cow::Borrowed),
        options: Cow::Borrowed(&message.options),
        accepted_at: message.accepted_at,
        generation: message.generation,
        attempt: message.attempt,
        parked: message.parked,
        not_before: message.not_before,
        traceparent: message.traceparent.as_deref().map(Cow::Borrowed),
        reply_to: message.reply_to.as_deref().map(Cow::Borrowed),
        history: Cow::Borrowed(&message.history),
        request_message: None,
    };
    let mut json = to_json(&head, HEAD_BYTES + message.request_message.len());
    json.pop(); // The closing brace goes behind the last key.
    json.extend_from_slice(LAST_KEY);
    json.extend_from_slice(&message.request_message);
    json.push(b'}');
    json
}

/// Reads a message; bytes of another version are a [`Unreadable::Format`] here.
pub(super) fn decode(bytes: &Bytes) -> Result<Message, Unreadable> {
    let read: MessageV1<'_> = serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    let Some(request_message) = read.request_message.filter(|message| is_object(message)) else {
        return Err(format("request_message is not an object"));
    };
    if read.v != VERSION {
        return Err(format("another version"));
    }
    if read.attempt == 0 {
        return Err(format("attempts are counted from 1"));
    }
    if read.callback_url.is_none() && read.callee_no.is_none() {
        return Err(format("neither callback_url nor callee_no"));
    }
    Ok(Message {
        request_id: read.request_id,
        app_id: read.app_id.into_owned(),
        caller_no: read.caller_no.map(Cow::into_owned),
        callee_no: read.callee_no.map(Cow::into_owned),
        message_type: read.message_type.into_owned(),
        callback_url: read.callback_url.map(Cow::into_owned),
        options: read.options.into_owned(),
        accepted_at: read.accepted_at,
        generation: read.generation,
        attempt: read.attempt,
        parked: read.parked,
        not_before: read.not_before,
        traceparent: read.traceparent.map(Cow::into_owned),
        reply_to: read.reply_to.map(Cow::into_owned),
        history: read.history.into_owned(),
        request_message: bytes.slice_ref(request_message.get().as_bytes()),
    })
}

fn format(reason: &str) -> Unreadable {
    Unreadable::Format(reason.to_owned())
}

/// serde's texts may quote the bytes they do not like, and payloads are never logged. Of its
/// texts only the two pass that can name nothing but our own fields.
fn unreadable(error: &serde_json::Error) -> Unreadable {
    let text = error.to_string();
    if text.starts_with("missing field `") || text.starts_with("duplicate field `") {
        return Unreadable::Format(text);
    }
    let what = match error.classify() {
        Category::Data => "a field does not fit",
        Category::Io | Category::Syntax | Category::Eof => "not JSON",
    };
    let (line, column) = (error.line(), error.column());
    Unreadable::Format(format!("{what} at line {line} column {column}"))
}

fn asks_for_nothing(options: &Options) -> bool {
    options.is_empty()
}

fn is_empty(history: &[Attempt]) -> bool {
    history.is_empty()
}
