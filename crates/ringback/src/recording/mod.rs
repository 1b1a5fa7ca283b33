//! Writes records into the journal.
//!
//! - `pipeline.rs`: where the journal is, and what feeds and maintains it
//! - `sinks.rs`: the sinks of the recorder: the journal, or the journal's queue
//! - `writer.rs`: stores records from the journal's queue in the journal
//! - `retention.rs`: removes expired records
//! - `health.rs`: whether the journal is reachable
//! - `metrics.rs`: the metrics of recording

mod health;
mod metrics;
mod pipeline;
mod retention;
mod sinks;
mod writer;

pub(crate) use metrics::RecordingMetrics;
pub(crate) use pipeline::{JournalLocation, Recording};
