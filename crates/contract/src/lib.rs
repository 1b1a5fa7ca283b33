//! The formats: the caller's request, the gateway's answer, and the message in the queue.
//!
//! Pure: bytes in, bytes out. No clock, no network, no settings except [`Rules`].
//!
//! - `request/`: the body of `POST /api/callback` and the header `Prefer`. Start here.
//! - `error/`: what is wrong with a request, as data and as a sentence.
//! - `response/`: answers, their languages, the report on a callback, and the reply to the ingress
//!   of a waiting caller.
//! - `queue/`: the message between ingress and dispatcher, in every version. `golden/` holds files
//!   of each version: a version is added, never edited.
//! - `control/`: what the processes of one gateway ask and tell each other.
//! - `header_name.rs`: which headers of the request to a target only the gateway sets.
//! - `trace_context.rs`: the trace of a callback and the ids of its spans.
//! - `times.rs`: time conversions, for all crates.
//! - `json.rs`, `unknown_fields.rs`: JSON serialisation and its errors; unknown keys, kept byte for byte.
//!
//! Invariants: `request_message` is never decoded and never re-serialised, only sliced and copied;
//! the text of a [`MessageError`] holds no payload; nothing here panics, whatever the bytes.

pub mod control;
mod error;
mod header_name;
mod json;
mod queue;
mod request;
mod response;
mod times;
mod trace_context;
mod unknown_fields;

#[cfg(test)]
mod property_tests;

pub use error::{Invalid, Param, ParamError};
pub use header_name::{comparable_header, is_replaced_header, is_reserved_header};
pub use json::error_without_values;
pub use queue::{HistoryEntry, IfUnknown, MAX_HISTORY, Message, MessageError, Probe, ProbeAnswer};
pub use request::{Options, Request, Rules, prefer_wait};
pub use response::{
    Answer, CallbackStatus, Language, Overdue, Reply, ReplyCode, Report, ReportAttempt,
    UnknownStatus, UnsupportedBody, masked_url,
};
pub use times::{duration_ms, rfc3339, unix_ms, unix_seconds};
pub use trace_context::{CallbackSpan, TraceContext, tracestate};
pub use unknown_fields::UnknownFields;
