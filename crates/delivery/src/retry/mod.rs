//! What happens after an attempt.
//!
//! - `outcome.rs`: how an attempt ended.
//! - `cause.rs`: why it ended so, in a sentence.
//! - `verdict/`: the retry decision, from outcome and schedule. Start here.
//! - `schedule.rs`: the waits between attempts, and jitter.
//! - `overrides.rs`: an operator's exceptions for one callee.
//! - `retry_after.rs`: the header `Retry-After`.
//! - `config.rs`, `durations.rs`: the settings section `retry`, and lists of durations in settings.

mod cause;
mod config;
pub mod durations;
pub(crate) mod outcome;
mod overrides;
mod retry_after;
mod schedule;
mod verdict;

pub use cause::{FailedLookup, MalformedPart, UnreadableAnswer};
pub use config::RetryConfig;
pub use outcome::{OUTCOME_LABELS, Outcome};
pub use overrides::{OutcomeMatcher, OutcomeMatcherError, RetryOverrides};
pub use retry_after::retry_after;
pub use schedule::{MAX_WAITS, Schedule, ScheduleError, jittered};
pub use verdict::{
    DeadLetterReason, DecisionInput, SHORT_BUDGET, Verdict, decide, has_short_budget,
};
