//! Version 1 of the message: read, no longer written.
//!
//! One JSON object, `"v":1` first and `request_message` last; `None` and empty values are left out.
//! Unknown keys are refused: no gateway has ever written any.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::error::MessageError;
use super::message::{HistoryEntry, Message};
use crate::request::fields::is_object;
use crate::request::options::Options;
use crate::unknown_fields::UnknownFields;

pub(super) const VERSION: u64 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageV1<'a> {
    v: u64,
    request_id: Uuid,
    app_id: String,
    caller_no: Option<String>,
    callee_no: Option<String>,
    message_type: String,
    callback_url: Option<String>,
    #[serde(default)]
    options: Options,
    accepted_at: u64,
    generation: u32,
    attempt: u32,
    parked: u32,
    not_before: Option<u64>,
    traceparent: Option<String>,
    reply_to: Option<String>,
    #[serde(default)]
    history: Vec<HistoryEntry>,
    #[serde(borrow)]
    request_message: Option<&'a RawValue>,
}

pub(super) fn decode(bytes: &Bytes) -> Result<Message, MessageError> {
    let read: MessageV1<'_> = serde_json::from_slice(bytes)?;
    let malformed = |reason| Err(MessageError::malformed(reason));
    let Some(request_message) = read.request_message.filter(|message| is_object(message)) else {
        return malformed("request_message is not an object");
    };
    if read.v != VERSION {
        return malformed("another version");
    }
    if read.attempt == 0 {
        return malformed("attempts are counted from 1");
    }
    if read.callback_url.is_none() && read.callee_no.is_none() {
        return malformed("neither callback_url nor callee_no");
    }
    Ok(Message {
        request_id: read.request_id,
        app_id: read.app_id,
        caller_no: read.caller_no,
        callee_no: read.callee_no,
        message_type: read.message_type,
        callback_url: read.callback_url,
        options: read.options,
        accepted_at: read.accepted_at,
        generation: read.generation,
        attempt: read.attempt,
        deferrals: read.parked,
        hold: 0,
        not_before: read.not_before,
        scheduled_at: None,
        traceparent: read.traceparent,
        tracestate: None,
        reply_to: read.reply_to,
        history: read.history,
        unknown: UnknownFields::default(),
        request_message: bytes.slice_ref(request_message.get().as_bytes()),
    })
}
