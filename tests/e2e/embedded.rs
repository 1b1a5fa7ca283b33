//! Does one process with one directory keep the promises, whatever is done to it?

mod crash;
mod disk;
mod first_minute;
mod refusals;
mod restart;

use std::collections::BTreeSet;
use std::time::Duration;

use ringback::callee::Book;
use tests::callers::Answer;
use tests::site::{promised, stored};
use tests::{Callee, Site, dwindles};

const SOON: Duration = Duration::from_secs(30);
/// How long the process may stand still with work to do before it is called stuck.
const STUCK: Duration = Duration::from_secs(60);

/// A callee that forgets no request of a run.
async fn callee() -> Callee {
    Callee::start_with(Book::bounded(1_000_000, 1 << 30)).await
}

/// The callbacks that the callee took.
fn taken(callee: &Callee) -> BTreeSet<String> {
    let received = callee.book.received();
    let taken = received.iter().filter(|one| one.status == Some(200));
    taken.filter_map(|one| one.id.clone()).collect()
}

/// The promised ids that are neither at the callee nor in the store, as far as can be seen now.
fn lost(answers: &[Answer], callee: &Callee, directory: &std::path::Path) -> Vec<String> {
    // The store first: what leaves it is at the callee by then.
    let mut found: BTreeSet<String> = stored(directory)
        .into_iter()
        .map(|(_, message)| message.request_id.to_string())
        .collect();
    found.extend(taken(callee));
    let missing = promised(answers).filter(|id| !found.contains(*id));
    missing.map(str::to_owned).collect()
}

/// Waits until nothing is left to do: all that is stored are dead letters.
async fn worked_off(site: &Site, directory: &std::path::Path) {
    dwindles("messages in the store", STUCK, async || {
        let ready = site.get("/readyz").await?;
        let mut left = stored(directory);
        left.retain(|(lane, _)| lane != "dead");
        let (count, one) = (left.len(), left.first());
        let seen = format!("{count} left, for instance {one:?}; {ready:?}");
        Ok((count, seen))
    })
    .await;
}
