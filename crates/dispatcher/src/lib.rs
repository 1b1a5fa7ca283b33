//! The door out: how does a message become a call to its target, and what follows from the answer?
//!
//! Start reading at `attempt.rs`, the main path. `plan.rs` says who is called and what holds for that
//! (`policy.rs`: as the settings have it now, `callee.rs`: for one callee, `lines.rs`: over which connections); `early.rs` finds what is not attempted (`fates.rs`: what
//! was decided elsewhere); `enter.rs` gets it its turn (`gates.rs`: the limits of targets, `board.rs`
//! and `targets.rs`: what is seen of them, `pauses.rs`: who is left alone); `call.rs` makes the call (`resolve.rs`: names to admitted
//! addresses, `classify.rs`: errors to outcomes, `headers.rs`: what the target is told);
//! `follow_up.rs` turns a verdict into a settlement, `record.rs` into a record; `work.rs` runs the
//! lanes and stops them (`slots.rs`: how many attempts at a time);
//! `graves.rs` reads the queues that no attempt reads. `sinks.rs`, `writer.rs` and `retention.rs`
//! bring records into the journal, and out of it again.

mod app;
mod attempt;
mod board;
mod call;
mod callee;
mod classify;
mod early;
mod enter;
mod fates;
mod follow_up;
mod gates;
mod graves;
mod headers;
mod keep;
mod lately;
mod lines;
mod pauses;
mod plan;
mod policy;
mod record;
mod resolve;
mod retention;
mod rule;
mod signing;
mod sinks;
mod slots;
mod targets;
mod tell;
mod tls;
mod work;
mod writer;

pub use follow_up::same_again;
pub use pauses::{AutoPause, Pauses};
pub use policy::{Policies, Policy};
pub use resolve::addresses_of;
pub use retention::retain;
pub use sinks::{ByQueue, Straight};
pub use targets::Targets;
pub use work::{Dispatcher, StartError, Tools};
pub use writer::Writer;
