//! What travels? The caller's request, our answer, and the message in the queue.
//!
//! Pure: bytes in, bytes out; no clock, no network, no settings but [`Rules`].
//!
//! - `request.rs`: what may a caller ask for? Start here. It uses `body.rs` and `depth.rs` (can
//!   the body be read at all?), `fields.rs` (what does a JSON object hold, byte for byte?),
//!   `options.rs` and `headers.rs`.
//! - `invalid.rs`, `flaw.rs`: what is wrong with a request, as data and as a sentence?
//! - `answer.rs`, `language.rs`: what does the caller hear, and in which language?
//! - `prefer.rs`: does the caller want to wait for the outcome? `reply.rs`: what does a dispatcher tell
//!   the ingress whose caller waits?
//! - `report.rs`, `moment.rs`, `mask.rs`: what does a caller hear who asks what became of a callback?
//! - `message.rs`: what do ingress and dispatcher tell each other? `golden/` holds files of every
//!   version that was ever written: a version is added, never edited.
//!
//! Invariants: `request_message` is never decoded and never written anew, only sliced and
//! copied; no error text of [`Unreadable`] holds a byte of a message; nothing here panics,
//! whatever the bytes.

mod answer;
mod body;
mod depth;
mod fields;
mod flaw;
mod headers;
mod invalid;
mod json;
mod language;
mod mask;
mod message;
mod moment;
mod options;
mod prefer;
mod reply;
mod report;
mod request;

#[cfg(test)]
mod properties;

pub use answer::Answer;
pub use flaw::Flaw;
pub use invalid::{Invalid, Param};
pub use language::Language;
pub use mask::masked_url;
pub use message::{Attempt, MOST_HISTORY, Message, Unreadable};
pub use moment::rfc3339;
pub use options::Options;
pub use prefer::prefer_wait;
pub use reply::{Reply, ReplyCode};
pub use report::{Report, ReportAttempt};
pub use request::{Request, Rules};
