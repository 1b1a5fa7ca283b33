//! The door out: how does a message become a call to its target, and what follows from the answer?
//!
//! Start reading at `attempt.rs`, the main path. `call.rs` makes the call (`resolve.rs`: names to
//! admitted addresses, `classify.rs`: errors to outcomes, `headers.rs`: what the target is told);
//! `early.rs` finds what is not attempted (`fates.rs`: what was decided elsewhere), `follow_up.rs` turns a
//! verdict into a settlement, `record.rs` into a record; `work.rs` runs the lanes and stops them;
//! `graves.rs` reads the queues that no attempt reads. `sinks.rs`, `writer.rs` and `retention.rs`
//! bring records into the journal, and out of it again.

mod attempt;
mod call;
mod classify;
mod early;
mod fates;
mod follow_up;
mod graves;
mod headers;
mod keep;
mod lately;
mod record;
mod resolve;
mod retention;
mod sinks;
mod tell;
mod work;
mod writer;

pub use follow_up::same_again;
pub use retention::retain;
pub use sinks::{ByQueue, Straight};
pub use work::{Dispatcher, StartError, Tools};
pub use writer::Writer;
