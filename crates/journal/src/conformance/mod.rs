//! The test suite that every adapter passes.
//!
//! Behaviour in which two adapters could differ is tested here first. Each part of the suite uses
//! its own journals. All times are near the present, because an adapter may partition its tables by
//! time.
//!
//! - `write.rs`, `read.rs`, `cancel.rs`, `replay.rs`, `retry.rs`, `bulk.rs`, `idempotency.rs`,
//!   `group.rs`, `pause.rs`, `retention.rs`, `rollup.rs`, `counts.rs`, `stream.rs`, `unaccounted.rs`, `waiting.rs`: a concern each, named
//!   as in the adapters.
//!   `schema.rs`: tables of other versions are refused.
//! - `fixture.rs`: what the parts share.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails loudly")]

mod bulk;
mod cancel;
mod counts;
mod fixture;
mod group;
mod idempotency;
mod pause;
mod read;
mod replay;
mod retention;
mod retry;
mod rollup;
mod schema;
mod stream;
mod unaccounted;
mod waiting;
mod write;

pub use fixture::JournalFixture;

/// Runs the whole suite.
pub async fn exercise(fixture: &impl JournalFixture) {
    write::exercise(fixture).await;
    read::exercise(fixture).await;
    cancel::exercise(fixture).await;
    counts::exercise(fixture).await;
    group::exercise(fixture).await;
    idempotency::exercise(fixture).await;
    replay::exercise(fixture).await;
    retention::exercise(fixture).await;
    retry::exercise(fixture).await;
    rollup::exercise(fixture).await;
    bulk::exercise(fixture).await;
    pause::exercise(fixture).await;
    stream::exercise(fixture).await;
    unaccounted::exercise(fixture).await;
    waiting::exercise(fixture).await;
    schema::exercise(fixture).await;
}
