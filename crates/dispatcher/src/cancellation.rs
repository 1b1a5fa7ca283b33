//! Looks up whether a callback was cancelled or replayed while it waited.
//!
//! Lookups are batched. Recently cancelled ids are also kept in memory, so that a confirmed
//! cancellation holds while the journal is unavailable.

use contract::duration_ms;
use journal::{ControlState, Journal, JournalError};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use runtime::clock::now_ms;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// The maximum number of ids in one query.
const MAX_BATCH_IDS: usize = 256;
/// How long a lookup waits for others to share its query.
const BATCH_DELAY: Duration = Duration::from_millis(2);
/// After this time the attempt proceeds without an answer.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often recently cancelled ids are read.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// The first read covers the longest time that a callback may wait.
const FIRST_REFRESH: Duration = Duration::from_secs(12 * 24 * 60 * 60);
/// Reads overlap: clocks differ, and a cancellation is visible only after its commit.
const REFRESH_OVERLAP: Duration = Duration::from_secs(60);
/// The maximum number of cancelled ids in memory: about 30 MB.
const MAX_RECENT_IDS: u64 = 100_000;

/// Why a message must not be attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SkipReason {
    /// The callback was cancelled.
    Cancelled,
    /// The callback was replayed: this message belongs to an older generation.
    Replayed,
}

/// The answer to a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupResult {
    /// The journal's answer. `None`: it has no record of the callback yet.
    Journal(Option<ControlState>),
    /// The journal is unavailable. The result is from the ids in memory.
    Memory { cancelled: bool },
}

/// Looks up control states. Its tasks end when it is dropped.
pub(crate) struct ControlLookup {
    requests: mpsc::Sender<LookupRequest>,
    known: Arc<KnownControl>,
}

struct LookupRequest {
    request_id: Uuid,
    /// Dropped without an answer when the journal is unavailable.
    answer: oneshot::Sender<Option<ControlState>>,
}

/// What is known in memory.
struct KnownControl {
    /// Whether the journal answered the last query.
    journal_up: AtomicBool,
    cancelled: RecentIds,
}

impl KnownControl {
    fn new() -> Self {
        Self {
            journal_up: AtomicBool::new(true),
            cancelled: RecentIds::new(MAX_RECENT_IDS),
        }
    }
}

/// The most recently inserted ids, in bounded memory.
struct RecentIds(Cache<Uuid, ()>);

impl RecentIds {
    fn new(capacity: u64) -> Self {
        // LRU: the default policy may reject a new id in favour of an old one.
        let cache = Cache::builder().eviction_policy(EvictionPolicy::lru());
        Self(cache.max_capacity(capacity).build())
    }

    fn insert(&self, id: Uuid) {
        self.0.insert(id, ());
    }

    fn contains(&self, id: Uuid) -> bool {
        self.0.contains_key(&id)
    }
}

impl ControlLookup {
    /// Starts the background tasks. Call it inside a Tokio runtime.
    pub(crate) fn start(journal: &Journal) -> Self {
        let (requests, inbox) = mpsc::channel(MAX_BATCH_IDS);
        let known = Arc::new(KnownControl::new());
        tokio::spawn(answer_requests(journal.clone(), inbox, Arc::clone(&known)));
        tokio::spawn(refresh_cancelled(journal.clone(), Arc::downgrade(&known)));
        Self { requests, known }
    }

    /// Why the message of this generation must not be attempted, if it must not.
    pub(crate) async fn skip_reason(
        &self,
        request_id: Uuid,
        generation: u32,
    ) -> Option<SkipReason> {
        skip_reason(generation, self.look_up(request_id).await)
    }

    async fn look_up(&self, request_id: Uuid) -> LookupResult {
        if self.known.journal_up.load(Ordering::Relaxed) {
            let (answer, answered) = oneshot::channel();
            let request = LookupRequest { request_id, answer };
            if self.requests.send(request).await.is_ok()
                && let Ok(state) = answered.await
            {
                return LookupResult::Journal(state);
            }
        }
        LookupResult::Memory {
            cancelled: self.known.cancelled.contains(request_id),
        }
    }
}

fn skip_reason(generation: u32, result: LookupResult) -> Option<SkipReason> {
    let cancelled = match result {
        LookupResult::Journal(Some(state)) if state.generation > generation => {
            return Some(SkipReason::Replayed);
        }
        LookupResult::Journal(state) => state.is_some_and(|state| state.cancelled),
        LookupResult::Memory { cancelled } => cancelled,
    };
    cancelled.then_some(SkipReason::Cancelled)
}

/// Answers requests in batches, until all senders are dropped.
async fn answer_requests(
    journal: Journal,
    mut inbox: mpsc::Receiver<LookupRequest>,
    known: Arc<KnownControl>,
) {
    while let Some(first) = inbox.recv().await {
        let mut batch = vec![first];
        let gather = async {
            while batch.len() < MAX_BATCH_IDS
                && let Some(next) = inbox.recv().await
            {
                batch.push(next);
            }
        };
        // The batch is kept, whether the timeout or its size ended it.
        let _ = tokio::time::timeout(BATCH_DELAY, gather).await;
        let ids: Vec<Uuid> = batch.iter().map(|request| request.request_id).collect();
        let Some(states) = query(&known, journal.control_states(&ids)).await else {
            continue; // Dropping the batch ends its lookups without an answer.
        };
        answer(batch, &states);
    }
}

fn answer(batch: Vec<LookupRequest>, states: &HashMap<Uuid, ControlState>) {
    for LookupRequest { request_id, answer } in batch {
        // An error means that the attempt was cut off.
        let _ = answer.send(states.get(&request_id).copied());
    }
}

/// Reads recently cancelled ids at intervals, while the lookup exists.
async fn refresh_cancelled(journal: Journal, known: Weak<KnownControl>) {
    let mut since = now_ms().saturating_sub(duration_ms(FIRST_REFRESH));
    let mut interval = tokio::time::interval(REFRESH_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(known) = known.upgrade() else {
            return;
        };
        let next = now_ms().saturating_sub(duration_ms(REFRESH_OVERLAP));
        if let Some(ids) = query(&known, journal.cancelled_since(since)).await {
            since = next;
            ids.into_iter().for_each(|id| known.cancelled.insert(id));
        }
    }
}

/// Runs a query with a timeout, and remembers whether the journal answered.
async fn query<T>(
    known: &KnownControl,
    query: impl Future<Output = Result<T, JournalError>>,
) -> Option<T> {
    let answer = match tokio::time::timeout(JOURNAL_TIMEOUT, query).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "failed to query the journal for control states");
            None
        }
        Err(_) => None,
    };
    // Avoids futile waits. Monitoring the journal is not the dispatcher's job.
    known.journal_up.store(answer.is_some(), Ordering::Relaxed);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::CallbackStatus;

    fn state(generation: u32, cancelled: bool) -> LookupResult {
        LookupResult::Journal(Some(ControlState {
            generation,
            status: CallbackStatus::Retrying,
            cancelled,
            discarded: false,
        }))
    }

    #[test]
    fn only_a_cancelled_callback_and_an_old_generation_are_skipped() {
        for (result, expected) in [
            (LookupResult::Journal(None), None),
            (state(1, false), None),
            (state(0, false), None),
            (state(2, false), Some(SkipReason::Replayed)),
            (state(2, true), Some(SkipReason::Replayed)),
            (state(1, true), Some(SkipReason::Cancelled)),
            (state(0, true), Some(SkipReason::Cancelled)),
            (LookupResult::Memory { cancelled: false }, None),
            (
                LookupResult::Memory { cancelled: true },
                Some(SkipReason::Cancelled),
            ),
        ] {
            assert_eq!(skip_reason(1, result), expected, "{result:?}");
        }
    }

    #[tokio::test]
    async fn an_unresponsive_journal_is_not_queried_until_it_answers_again() {
        let known = KnownControl::new();
        let begun = tokio::time::Instant::now();
        let silence = std::future::pending::<Result<(), _>>();
        assert_eq!(query(&known, silence).await, None);
        assert!(begun.elapsed() >= JOURNAL_TIMEOUT);
        assert!(!known.journal_up.load(Ordering::Relaxed));
        assert_eq!(query(&known, async { Ok(7) }).await, Some(7));
        assert!(known.journal_up.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn while_the_journal_is_unavailable_known_cancellations_hold() {
        let (requests, inbox) = mpsc::channel(1);
        drop(inbox);
        let lookup = ControlLookup {
            requests,
            known: Arc::new(KnownControl::new()),
        };
        let (cancelled_id, other) = (Uuid::now_v7(), Uuid::now_v7());
        lookup.known.cancelled.insert(cancelled_id);
        for (id, cancelled) in [(cancelled_id, true), (other, false)] {
            assert_eq!(lookup.look_up(id).await, LookupResult::Memory { cancelled });
        }
    }

    #[test]
    fn the_newest_ids_are_kept_and_the_oldest_are_evicted() {
        const CAPACITY: u64 = 1_000;
        let recent = RecentIds::new(CAPACITY);
        let id = |number: u64| Uuid::from_u128(number.into());
        for number in 0..=CAPACITY {
            recent.insert(id(number));
            recent.insert(id(number)); // Inserting again changes nothing.
            recent.0.run_pending_tasks();
        }
        assert!(!recent.contains(id(0)));
        assert!((1..=CAPACITY).all(|number| recent.contains(id(number))));
        assert_eq!(recent.0.entry_count(), CAPACITY);
    }
}
