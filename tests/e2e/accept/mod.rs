//! What callers send, and the answers that they get.
//!
//! - `answers.rs`: accepted callbacks and errors (cases in `invalid_bodies.rs`, `http_errors.rs`)
//! - `admission.rs`: what is unfinished bounds the intake, in all and per app
//! - `intake.rs`: who sends more than is delivered is slowed down
//! - `bad_requests/`: ten thousand bad requests, framing and slow connections among them
//! - `idempotency.rs`: the header `Idempotency-Key`
//! - `query.rs`, `wait.rs`, `cancel.rs`: asking about a callback, waiting for it, cancelling it

mod admission;
mod answers;
mod bad_requests;
mod cancel;
mod http_errors;
mod idempotency;
mod intake;
mod invalid_bodies;
pub(crate) mod query;
mod wait;
