//! What targets get, and what becomes of callbacks that are not delivered.
//!
//! - `request.rs`: the request to the target
//! - `signing/`: signatures by Standard Webhooks
//! - `answers.rs`, `success_rule.rs`: answers that are not quite as they should be
//! - `cloud_events.rs`: headers of CloudEvents
//! - `redirects.rs`: redirects are never followed
//! - `retry.rs`, `dead_letters.rs`: failed attempts and callbacks given up
//! - `rescue.rs`: unreadable and unrouted messages, and those at their delivery limit
//! - `recording.rs`: the journal agrees with the target
//! - `traces.rs`: spans for a collector of traces
//! - `stats.rs`: the stats equal the ledger
//! - `load.rs`, `stop.rs`: ten thousand callbacks, and a graceful stop

mod answers;
mod cloud_events;
mod dead_letters;
mod load;
pub(crate) mod recording;
mod redirects;
mod request;
mod rescue;
mod retry;
mod signing;
mod stats;
mod stop;
mod success_rule;
mod traces;
