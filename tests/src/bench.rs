//! How fast, and how lean? What `cargo run --release -p tests --bin bench` measures.
//!
//! The product's figures stand beside those of the same disk and broker in the same run, because a
//! figure of one machine says nothing about another. `disk.rs` and `ceiling.rs` have the measures,
//! `load.rs` and `flow.rs` the callers, `sink.rs` the targets, `rig.rs` the processes. One file for
//! each part: `product.rs` and `memory.rs` (the one process), `doors.rs` (the door in), `whole.rs`
//! (throughput and latency), `overload.rs`, `weight.rs`, `journal.rs`. Nothing here judges.

pub mod ceiling;
pub mod disk;
pub mod doors;
pub mod figures;
pub mod flow;
pub mod journal;
pub mod load;
pub mod memory;
pub mod overload;
pub mod plot;
pub mod product;
pub mod rig;
pub mod sink;
pub mod stamp;
pub mod weight;
pub mod whole;

use std::time::Duration;

pub use figures::Figures;

/// Bytes.
const MIB: f64 = 1024.0 * 1024.0;

/// What `bench` was asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// How long each single measurement lasts.
    pub seconds: Duration,
    /// How often each is made; the table shows medians.
    pub repeats: usize,
}

/// A count per second.
pub fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
