//! Looks up whether a callback was cancelled, replayed or retried now while it waited.
//!
//! Lookups are batched. Recently cancelled ids are also kept in memory, so that a confirmed
//! cancellation holds while the journal is unavailable. After a start, lookups that the journal does
//! not answer wait until these ids have been read once, for a bounded time.

use contract::duration_ms;
use journal::{ControlState, Journal, JournalError};
use runtime::clock::now_ms;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// The maximum number of ids in one query.
const MAX_BATCH_IDS: usize = 256;
/// The maximum number of queries that wait for the journal, so that a distant journal does not slow
/// the retry queue down to one batch a round trip. Half of a process's connections to it.
const MAX_QUERIES: usize = 4;
/// How long a lookup waits for others to share its query.
const BATCH_DELAY: Duration = Duration::from_millis(2);
/// After this time the attempt proceeds without an answer.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often recently cancelled ids are read.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// The first read covers the longest time that a callback may wait.
const FIRST_REFRESH: Duration = Duration::from_secs(12 * 24 * 60 * 60);
/// The first read may return many ids.
const FIRST_REFRESH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after a start a lookup waits for the first read, if the journal does not answer. An
/// outage of the journal must not stop deliveries: afterwards attempts proceed.
const FIRST_REFRESH_WAIT: Duration = Duration::from_secs(60);
/// Reads overlap: clocks differ, and a cancellation is visible only after its commit.
const REFRESH_OVERLAP: Duration = Duration::from_secs(60);
/// The maximum number of cancelled ids in memory: about 6 MB.
const MAX_RECENT_IDS: usize = 100_000;

/// Why a message must not be attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SkipReason {
    /// The callback was cancelled.
    Cancelled,
    /// The callback was replayed: this message belongs to an older generation.
    Replayed,
    /// The callback was retried now: this message belongs to an older hold.
    Retried,
}

/// The answer to a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupResult {
    /// The journal's answer. `None`: it has no record of the callback yet.
    Journal(Option<ControlState>),
    /// The journal is unavailable. The result is from the ids in memory.
    Memory {
        /// The generation that was cancelled, if one was.
        cancelled: Option<u32>,
    },
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

/// What is asked of the journal; a test answers in its place.
trait ControlSource: Clone + Send + Sync + 'static {
    fn control_states(
        &self,
        request_ids: Vec<Uuid>,
    ) -> impl Future<Output = Result<HashMap<Uuid, ControlState>, JournalError>> + Send;

    /// With their generations, newest first.
    fn cancelled_since(
        &self,
        since: u64,
    ) -> impl Future<Output = Result<Vec<(Uuid, u32)>, JournalError>> + Send;
}

impl ControlSource for Journal {
    async fn control_states(
        &self,
        request_ids: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, ControlState>, JournalError> {
        (**self).control_states(&request_ids).await
    }

    async fn cancelled_since(&self, since: u64) -> Result<Vec<(Uuid, u32)>, JournalError> {
        (**self).cancelled_since(since).await
    }
}

/// What is known in memory.
struct KnownControl {
    /// Whether the journal answered the last query.
    journal_up: AtomicBool,
    cancelled: Mutex<RecentIds>,
    /// Whether the cancelled ids were read since the start.
    first_read: watch::Sender<bool>,
    /// Lookups wait for the first read until then.
    wait_until: Instant,
}

impl KnownControl {
    /// Lookups wait at most so long for the first read.
    fn new(wait: Duration) -> Self {
        Self {
            journal_up: AtomicBool::new(true),
            cancelled: Mutex::new(RecentIds::new(MAX_RECENT_IDS)),
            first_read: watch::Sender::new(false),
            wait_until: Instant::now() + wait,
        }
    }

    /// Adds cancelled ids, given newest first.
    fn add_cancelled(&self, newest_first: &[(Uuid, u32)]) {
        let mut cancelled = self
            .cancelled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let oldest_first = newest_first.iter().rev();
        oldest_first.for_each(|(id, generation)| cancelled.insert(*id, *generation));
    }

    fn cancelled_generation(&self, id: Uuid) -> Option<u32> {
        let cancelled = self
            .cancelled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        cancelled.generation(id)
    }

    /// Waits until the cancelled ids were read once since the start, for a bounded time. Returns
    /// whether it had to wait for them, and they have come.
    async fn wait_for_first_read(&self) -> bool {
        if *self.first_read.borrow() {
            return false;
        }
        let mut first_read = self.first_read.subscribe();
        let read = tokio::time::timeout_at(self.wait_until, first_read.wait_for(|read| *read));
        matches!(read.await, Ok(Ok(_)))
    }
}

/// The most recently inserted ids, in bounded memory.
struct RecentIds {
    capacity: usize,
    /// Oldest first.
    order: VecDeque<Uuid>,
    /// With the generation that was cancelled.
    generations: HashMap<Uuid, u32>,
}

impl RecentIds {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            order: VecDeque::new(),
            generations: HashMap::new(),
        }
    }

    /// Adds an id, and evicts the oldest one if there are too many. An id that is there stays where
    /// it is, with the new generation.
    fn insert(&mut self, id: Uuid, generation: u32) {
        if self.generations.insert(id, generation).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.generations.remove(&oldest);
        }
    }

    fn generation(&self, id: Uuid) -> Option<u32> {
        self.generations.get(&id).copied()
    }
}

impl ControlLookup {
    /// Starts the background tasks. Call it inside a Tokio runtime.
    pub(crate) fn start(journal: &Journal) -> Self {
        Self::start_with(journal, FIRST_REFRESH_WAIT)
    }

    fn start_with(source: &impl ControlSource, wait: Duration) -> Self {
        let (requests, inbox) = mpsc::channel(MAX_BATCH_IDS * MAX_QUERIES);
        let known = Arc::new(KnownControl::new(wait));
        tokio::spawn(answer_requests(source.clone(), inbox, Arc::clone(&known)));
        tokio::spawn(refresh_cancelled(source.clone(), Arc::downgrade(&known)));
        Self { requests, known }
    }

    /// Why the message of this generation and hold must not be attempted, if it must not.
    pub(crate) async fn skip_reason(
        &self,
        request_id: Uuid,
        generation: u32,
        hold: u32,
    ) -> Option<SkipReason> {
        skip_reason(generation, hold, self.look_up(request_id).await)
    }

    async fn look_up(&self, request_id: Uuid) -> LookupResult {
        if let Some(state) = self.ask(request_id).await {
            return LookupResult::Journal(state);
        }
        // The journal may be back when its ids have been read.
        if self.known.wait_for_first_read().await
            && let Some(state) = self.ask(request_id).await
        {
            return LookupResult::Journal(state);
        }
        LookupResult::Memory {
            cancelled: self.known.cancelled_generation(request_id),
        }
    }

    /// The journal's answer; `None` if it does not answer.
    async fn ask(&self, request_id: Uuid) -> Option<Option<ControlState>> {
        if !self.known.journal_up.load(Ordering::Relaxed) {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let request = LookupRequest { request_id, answer };
        self.requests.send(request).await.ok()?;
        answered.await.ok()
    }
}

fn skip_reason(generation: u32, hold: u32, result: LookupResult) -> Option<SkipReason> {
    let cancelled = match result {
        LookupResult::Journal(Some(state)) if state.generation > generation => {
            return Some(SkipReason::Replayed);
        }
        LookupResult::Journal(Some(state))
            if state.generation == generation && state.hold > hold =>
        {
            return Some(SkipReason::Retried);
        }
        LookupResult::Journal(state) => state.is_some_and(|state| state.cancelled),
        // A replay after the cancellation has a later generation.
        LookupResult::Memory { cancelled } => {
            cancelled.is_some_and(|cancelled| cancelled >= generation)
        }
    };
    cancelled.then_some(SkipReason::Cancelled)
}

/// Answers requests in batches, several at a time, until all senders are dropped.
async fn answer_requests(
    source: impl ControlSource,
    mut inbox: mpsc::Receiver<LookupRequest>,
    known: Arc<KnownControl>,
) {
    let slots = Arc::new(Semaphore::new(MAX_QUERIES));
    // The batch is gathered once a query may start, so that it is as large as possible. The
    // semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await
        && let Some(batch) = next_batch(&mut inbox).await
    {
        let (source, known) = (source.clone(), Arc::clone(&known));
        tokio::spawn(async move {
            answer_batch(&source, batch, &known).await;
            drop(slot);
        });
    }
}

/// The next requests; `None` once all senders are dropped.
async fn next_batch(inbox: &mut mpsc::Receiver<LookupRequest>) -> Option<Vec<LookupRequest>> {
    let mut batch = vec![inbox.recv().await?];
    let gather = async {
        while batch.len() < MAX_BATCH_IDS
            && let Some(next) = inbox.recv().await
        {
            batch.push(next);
        }
    };
    // The batch is kept, whether the timeout or its size ended it.
    let _ = tokio::time::timeout(BATCH_DELAY, gather).await;
    Some(batch)
}

async fn answer_batch(
    source: &impl ControlSource,
    batch: Vec<LookupRequest>,
    known: &KnownControl,
) {
    let ids: Vec<Uuid> = batch.iter().map(|request| request.request_id).collect();
    let Some(states) = query(known, JOURNAL_TIMEOUT, source.control_states(ids)).await else {
        return; // Dropping the batch ends its lookups without an answer.
    };
    for LookupRequest { request_id, answer } in batch {
        // An error means that the attempt was cut off.
        let _ = answer.send(states.get(&request_id).copied());
    }
}

/// Reads recently cancelled ids at intervals, while the lookup exists.
async fn refresh_cancelled(source: impl ControlSource, known: Weak<KnownControl>) {
    let mut since = now_ms().saturating_sub(duration_ms(FIRST_REFRESH));
    let mut limit = FIRST_REFRESH_TIMEOUT;
    let mut reported = false;
    let mut interval = tokio::time::interval(REFRESH_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(known) = known.upgrade() else {
            return;
        };
        let next = now_ms().saturating_sub(duration_ms(REFRESH_OVERLAP));
        match query(&known, limit, source.cancelled_since(since)).await {
            Some(ids) => {
                (since, limit) = (next, JOURNAL_TIMEOUT);
                known.add_cancelled(&ids);
                known.first_read.send_replace(true);
            }
            None if !reported && !*known.first_read.borrow() => {
                reported = true;
                let wait_seconds = FIRST_REFRESH_WAIT.as_secs();
                tracing::warn!(
                    wait_seconds,
                    "the journal has not told which callbacks are cancelled; after this time from \
                     the start, retries proceed without"
                );
            }
            None => {}
        }
    }
}

/// Runs a query with a timeout, and remembers whether the journal answered.
async fn query<T>(
    known: &KnownControl,
    limit: Duration,
    query: impl Future<Output = Result<T, JournalError>>,
) -> Option<T> {
    let answer = match tokio::time::timeout(limit, query).await {
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
            hold: 0,
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
            (LookupResult::Memory { cancelled: None }, None),
            // Replayed since it was cancelled.
            (LookupResult::Memory { cancelled: Some(0) }, None),
            (
                LookupResult::Memory { cancelled: Some(1) },
                Some(SkipReason::Cancelled),
            ),
            (
                LookupResult::Memory { cancelled: Some(2) },
                Some(SkipReason::Cancelled),
            ),
        ] {
            assert_eq!(skip_reason(1, 0, result), expected, "{result:?}");
        }
    }

    #[test]
    fn a_message_of_an_older_hold_is_stale_within_its_generation() {
        let held = |generation, hold, cancelled| {
            LookupResult::Journal(Some(ControlState {
                generation,
                hold,
                status: CallbackStatus::Retrying,
                cancelled,
                discarded: false,
            }))
        };
        for (result, expected) in [
            (held(1, 1, false), None),
            // The journal does not know yet that it was retried again.
            (held(1, 0, false), None),
            (held(1, 2, false), Some(SkipReason::Retried)),
            (held(1, 2, true), Some(SkipReason::Retried)),
            (held(1, 1, true), Some(SkipReason::Cancelled)),
            // Holds are counted within a generation.
            (held(0, 2, false), None),
            (held(2, 0, false), Some(SkipReason::Replayed)),
        ] {
            assert_eq!(skip_reason(1, 1, result), expected, "{result:?}");
        }
    }

    /// A journal that answers as the test says.
    #[derive(Clone)]
    struct FakeJournal {
        up: watch::Sender<bool>,
        /// How many queries for control states are in progress, and the most at a time.
        asking: watch::Sender<(usize, usize)>,
        /// No query ends before so many were in progress.
        ends_at: usize,
        /// Newest first.
        cancelled: Vec<Uuid>,
    }

    impl FakeJournal {
        fn new(up: bool) -> Self {
            Self {
                up: watch::Sender::new(up),
                asking: watch::Sender::new((0, 0)),
                ends_at: 0,
                cancelled: Vec::new(),
            }
        }

        fn check(&self) -> Result<(), JournalError> {
            match *self.up.borrow() {
                true => Ok(()),
                false => Err(JournalError::Unavailable("away".to_owned())),
            }
        }
    }

    impl ControlSource for FakeJournal {
        async fn control_states(
            &self,
            request_ids: Vec<Uuid>,
        ) -> Result<HashMap<Uuid, ControlState>, JournalError> {
            self.check()?;
            self.asking.send_modify(|(asking, most)| {
                *asking += 1;
                *most = (*most).max(*asking);
            });
            let mut asking = self.asking.subscribe();
            let enough = asking.wait_for(|(_, most)| *most >= self.ends_at).await;
            enough.map(drop).unwrap();
            self.asking.send_modify(|(asking, _)| *asking -= 1);
            let cancelled = ControlState {
                generation: 0,
                hold: 0,
                status: CallbackStatus::Retrying,
                cancelled: true,
                discarded: false,
            };
            let ids = request_ids.into_iter();
            Ok(ids
                .filter(|id| self.cancelled.contains(id))
                .map(|id| (id, cancelled))
                .collect())
        }

        async fn cancelled_since(&self, _: u64) -> Result<Vec<(Uuid, u32)>, JournalError> {
            self.check()?;
            Ok(self.cancelled.iter().map(|id| (*id, 0)).collect())
        }
    }

    fn ids(count: usize) -> Vec<Uuid> {
        (1_u128..).take(count).map(Uuid::from_u128).collect()
    }

    /// Longer than any test takes.
    const NEVER: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn a_slow_journal_is_asked_for_several_batches_at_a_time() {
        let mut journal = FakeJournal::new(true);
        journal.ends_at = MAX_QUERIES;
        let lookup = Arc::new(ControlLookup::start_with(&journal, NEVER));
        let mut lookups = tokio::task::JoinSet::new();
        for id in ids(MAX_BATCH_IDS * MAX_QUERIES * 2) {
            let lookup = Arc::clone(&lookup);
            lookups.spawn(async move { lookup.look_up(id).await });
        }
        while let Some(result) = lookups.join_next().await {
            assert_eq!(result.unwrap(), LookupResult::Journal(None));
        }
        assert_eq!(*journal.asking.borrow(), (0, MAX_QUERIES), "and bounded");
    }

    #[tokio::test]
    async fn a_cancellation_from_before_the_start_holds_once_the_journal_is_back() {
        let mut journal = FakeJournal::new(false);
        let [cancelled, other] = [1, 2].map(Uuid::from_u128);
        journal.cancelled = vec![cancelled];
        let lookup = Arc::new(ControlLookup::start_with(&journal, NEVER));
        let looking = [cancelled, other].map(|id| {
            let lookup = Arc::clone(&lookup);
            tokio::spawn(async move { lookup.skip_reason(id, 0, 0).await })
        });
        // Longer than the journal is waited for at any other time.
        tokio::time::sleep(JOURNAL_TIMEOUT + REFRESH_INTERVAL).await;
        assert!(looking.iter().all(|looking| !looking.is_finished()));
        journal.up.send_replace(true);
        let [cancelled, other] = looking;
        assert_eq!(cancelled.await.unwrap(), Some(SkipReason::Cancelled));
        assert_eq!(other.await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_outage_of_the_journal_at_the_start_delays_retries_for_a_bounded_time() {
        let wait = Duration::from_millis(300);
        let lookup = ControlLookup::start_with(&FakeJournal::new(false), wait);
        let begun = Instant::now();
        for id in ids(100) {
            let memory = LookupResult::Memory { cancelled: None };
            assert_eq!(lookup.look_up(id).await, memory);
            assert!(begun.elapsed() >= wait, "the first one waited for all");
        }
    }

    #[tokio::test]
    async fn an_outage_after_the_first_read_delays_nothing() {
        let mut journal = FakeJournal::new(true);
        journal.cancelled = ids(3);
        let lookup = ControlLookup::start_with(&journal, NEVER);
        let mut first_read = lookup.known.first_read.subscribe();
        first_read.wait_for(|read| *read).await.unwrap();
        journal.up.send_replace(false);
        let skipped = lookup.skip_reason(Uuid::from_u128(3), 0, 0).await;
        assert_eq!(skipped, Some(SkipReason::Cancelled));
        assert_eq!(lookup.skip_reason(Uuid::from_u128(4), 0, 0).await, None);
    }

    #[test]
    fn of_too_many_cancelled_ids_the_newest_are_kept() {
        let known = KnownControl::new(Duration::ZERO);
        let newest_first = ids(MAX_RECENT_IDS + 10);
        let cancelled: Vec<_> = newest_first.iter().map(|id| (*id, 0)).collect();
        known.add_cancelled(&cancelled);
        let (kept, evicted) = newest_first.split_at(MAX_RECENT_IDS);
        assert!(
            kept.iter()
                .all(|id| known.cancelled_generation(*id) == Some(0))
        );
        assert!(
            !evicted
                .iter()
                .any(|id| known.cancelled_generation(*id).is_some())
        );
    }

    #[tokio::test]
    async fn an_unresponsive_journal_is_not_queried_until_it_answers_again() {
        let known = KnownControl::new(Duration::ZERO);
        let begun = Instant::now();
        let silence = std::future::pending::<Result<(), _>>();
        assert_eq!(query(&known, JOURNAL_TIMEOUT, silence).await, None);
        assert!(begun.elapsed() >= JOURNAL_TIMEOUT);
        assert!(!known.journal_up.load(Ordering::Relaxed));
        assert_eq!(
            query(&known, JOURNAL_TIMEOUT, async { Ok(7) }).await,
            Some(7)
        );
        assert!(known.journal_up.load(Ordering::Relaxed));
    }

    #[test]
    fn the_newest_ids_are_kept_and_the_oldest_are_evicted() {
        const CAPACITY: usize = 1_000;
        let mut recent = RecentIds::new(CAPACITY);
        let ids = ids(CAPACITY + 1);
        for id in &ids {
            recent.insert(*id, 0);
            recent.insert(*id, 1); // Inserting again changes the generation alone.
        }
        assert_eq!(recent.generation(ids[0]), None);
        assert!(ids[1..].iter().all(|id| recent.generation(*id) == Some(1)));
        let sizes = (recent.order.len(), recent.generations.len());
        assert_eq!(sizes, (CAPACITY, CAPACITY));
    }
}
