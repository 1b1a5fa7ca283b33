//! The rules of delivery, without any I/O.
//!
//! - `retry/`: what happens after an attempt: outcome, verdict, schedule, overrides.
//! - `limits/`: whether a target may be called now: limiter, circuit breaker, rate limiter.
//! - `guard/`: which addresses may be called: the address guard, also known as the SSRF guard.
//! - `auth/`: who may send callbacks: keys, signatures, replay cache.
//! - `callee_registry/`: registered callees by number.
//! - `target_url/`: URLs that may be called, and their targets.
//! - `signature/`: signatures of requests to targets.
//!
//! Invariant: nothing here reads a clock, draws random numbers or does I/O. Time and chance are
//! arguments, and the manifest lists no crate that could.

pub mod auth;
mod callee_registry;
pub mod guard;
pub mod limits;
pub mod retry;
pub mod signature;
mod target_url;
mod text_or_number;

pub use callee_registry::{CalleeRegistry, RegisteredCallee, RegistryError, RegistryErrorKind};
pub use guard::{
    AddressRule, AddressRuleError, AdmittedBy, AllowList, Guard, Guards, PortRange, PortRangeError,
    Refusal,
};
pub use retry::{
    DeadLetterReason, DecisionInput, FailedLookup, MalformedPart, Outcome, OutcomeMatcher,
    OutcomeMatcherError, RetryOverrides, Schedule, ScheduleError, UnreadableAnswer, Verdict,
    decide, jittered, retry_after,
};
pub use target_url::{Target, TargetUrl, UrlError};
