//! Answers to callers.
//!
//! - `answer/`: every answer, with HTTP status, code and sentence.
//! - `language.rs`: the language of the sentence.
//! - `report/`, `status.rs`: the report on a callback, and its status.
//! - `reply.rs`: what a dispatcher sends to the ingress of a waiting caller.
//! - `mask.rs`: masking of URLs.

mod answer;
pub(crate) mod language;
mod mask;
mod reply;
mod report;
mod status;

pub use answer::{Answer, UnsupportedBody};
pub use language::Language;
pub use mask::masked_url;
pub use reply::{Reply, ReplyCode};
pub use report::{Overdue, Report, ReportAttempt};
pub use status::{CallbackStatus, UnknownStatus};
