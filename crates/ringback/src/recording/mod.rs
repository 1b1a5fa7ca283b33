//! Writes records into the journal.
//!
//! - `pipeline.rs`: where the journal is, and what feeds and maintains it
//! - `sinks.rs`: the sinks of the recorder: the journal, or the journal's queue
//! - `spool.rs`: opens the recorder's spool, and shows what is in it
//! - `writer.rs`: stores records from the journal's queue in the journal
//! - `retention.rs`: removes expired records
//! - `reaper/`: marks callbacks whose end was not recorded
//! - `states.rs`: counts the unfinished callbacks by state
//! - `health.rs`: whether the journal is reachable. `write_health.rs`: whether it takes writes
//! - `recorders.rs`: makes this recorder known, and ends those that are silent
//! - `metrics.rs`: the metrics of recording

#[cfg(test)]
mod fixture;
mod health;
mod metrics;
mod pipeline;
mod reaper;
mod recorders;
mod retention;
mod sinks;
mod spool;
mod states;
mod write_health;
mod writer;

pub(crate) use metrics::RecordingMetrics;
pub(crate) use pipeline::{JournalLocation, Maintenance, Recording};
pub(crate) use spool::SpoolMetrics;
