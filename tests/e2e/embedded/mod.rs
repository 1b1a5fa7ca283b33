//! `ringback serve` and `ringback dev` on one data directory.
//!
//! - `crash.rs`, `restart.rs`: killed and stopped
//! - `disk.rs`: a full disk. `damage.rs`: a damaged or removed directory
//! - `first_minute.rs`: `ringback dev`
//! - `journal.rs`: a journal that takes no writes
//! - `spool.rs`: killed while its journal takes no records
//! - `refusals.rs`: a process that must not start
//! - `unaccounted.rs`: callbacks whose message is gone

mod crash;
mod damage;
pub(crate) mod disk;
mod first_minute;
mod journal;
mod refusals;
mod restart;
mod spool;
mod unaccounted;

use std::collections::BTreeSet;
use std::time::Duration;

use tests::callers::{CallerAnswer, accepted_ids};
use tests::scenario::single_process::stored;
use tests::{Callee, SingleProcess, until_none_left};

const SOON: Duration = Duration::from_secs(30);
/// How long the process may make no progress with work to do.
const STUCK: Duration = Duration::from_secs(60);

/// The ids that were delivered.
fn delivered(callee: &Callee) -> BTreeSet<String> {
    let received = callee.requests.received();
    let delivered = received.iter().filter(|one| one.status == Some(200));
    delivered.filter_map(|one| one.id.clone()).collect()
}

/// The accepted ids that are neither delivered nor in the store at this time.
fn lost(answers: &[CallerAnswer], callee: &Callee, directory: &std::path::Path) -> Vec<String> {
    // The store first: what leaves it has been delivered by then.
    let mut found: BTreeSet<String> = stored(directory)
        .into_iter()
        .map(|(_, message)| message.request_id.to_string())
        .collect();
    found.extend(delivered(callee));
    let missing = accepted_ids(answers).filter(|id| !found.contains(*id));
    missing.map(str::to_owned).collect()
}

/// Waits until only dead letters are left in the store.
async fn drained(gateway: &SingleProcess, directory: &std::path::Path) {
    until_none_left("messages in the store", STUCK, async || {
        let ready = gateway.get_details("/readyz").await?;
        let mut left = stored(directory);
        left.retain(|(queue, _)| queue != "dead");
        let (count, one) = (left.len(), left.first());
        let seen = format!("{count} left, for instance {one:?}; {ready:?}");
        Ok((count, seen))
    })
    .await;
}
