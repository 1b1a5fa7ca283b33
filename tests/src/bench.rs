//! How fast, and how lean? What `cargo run --release -p tests --bin bench` measures.
//!
//! The product's figures stand beside those of the same disk in the same run, because a figure of
//! one machine says nothing about another. `disk.rs` has the measures, `load.rs` the callers,
//! `sink.rs` the target; `product.rs` and `memory.rs` put them together. `journal.rs` fills and asks
//! a database; `isolation.rs` has ten targets, one of them bad. Nothing here judges.

pub mod disk;
pub mod figures;
pub mod isolation;
pub mod journal;
pub mod load;
pub mod memory;
pub mod product;
pub mod sink;

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
