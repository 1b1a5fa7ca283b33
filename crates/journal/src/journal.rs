//! What can the rest of the program ask of the journal, whichever adapter it is?

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::callback::Callback;
use crate::claim::{Claim, Claimed};
use crate::fate::{Cancelled, Fate};
use crate::pause::{Pause, PauseKind};
use crate::postgres::Postgres;
use crate::query::{Cursor, Filter, Page};
use crate::record::Record;
use crate::replay::{Audit, Mended, Replay};
use crate::sqlite::Sqlite;

/// The record of callbacks and attempts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal(Adapter);

#[derive(Clone, Debug)]
enum Adapter {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

/// The journal could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Out of reach, or too slow: ask again later.
    #[error("the journal is out of reach: {0}")]
    Unavailable(String),
    /// These very records cannot be stored; others can.
    #[error("the journal refuses a record: {0}")]
    Refused(String),
}

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Callbacks that have ended, with their attempts, from their acceptance on.
    pub callbacks: Duration,
    /// The bodies of dead letters, from their end on. Without its body a dead letter cannot be
    /// replayed.
    pub bodies: Duration,
}

/// What one step of the retention took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Callbacks, or whole partitions' worth of them where only that is known.
    pub callbacks: u64,
    /// Bodies of dead letters.
    pub bodies: u64,
    /// Idempotency keys past their 24 hours.
    pub claims: u64,
    /// Whether another step would find more.
    pub more: bool,
}

/// Asks whichever adapter it is.
macro_rules! ask {
    ($journal:expr, $name:ident($($argument:expr),*)) => {
        match &$journal.0 {
            Adapter::Postgres(adapter) => adapter.$name($($argument),*).await,
            Adapter::Sqlite(adapter) => adapter.$name($($argument),*).await,
        }
    };
}

type Answer<T> = Result<T, JournalError>;

impl Journal {
    /// A journal in PostgreSQL, at `postgres://user:password@host/database`. Connections are made
    /// when needed and again after a loss; one that cannot be made is no error here.
    ///
    /// # Errors
    /// A sentence when the URL cannot be used at all. It never shows the password.
    pub fn connect(url: &str) -> Result<Self, String> {
        Postgres::new(url).map(Adapter::Postgres).map(Self)
    }

    /// A journal in `journal.db` of a data directory, which the caller has locked.
    ///
    /// # Errors
    /// A sentence naming the file, when it cannot be used.
    pub fn open(directory: &Path) -> Result<Self, String> {
        Sqlite::open(directory).map(Adapter::Sqlite).map(Self)
    }

    /// Makes the tables as this version needs them; several processes may ask at once.
    ///
    /// # Errors
    /// [`JournalError`], here and in everything below.
    pub async fn migrate(&self) -> Answer<()> {
        ask!(self, migrate())
    }

    /// Stores records: all or none. In any order, any number of times, from any number of
    /// processes: the result is the same.
    pub async fn record(&self, records: &[Record]) -> Answer<()> {
        ask!(self, record(records))
    }

    /// A callback with its attempts.
    pub async fn find(&self, request_id: Uuid) -> Answer<Option<Callback>> {
        ask!(self, find(request_id))
    }

    /// A page of callbacks, newest first. `now` in Unix ms.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
        now: u64,
    ) -> Answer<Page> {
        ask!(self, list(filter, after, limit, now))
    }

    /// How many callbacks match.
    pub async fn count(&self, filter: &Filter, now: u64) -> Answer<u64> {
        ask!(self, count(filter, now))
    }

    /// What a worker must know of these callbacks; unknown ones are left out.
    pub async fn fates(&self, request_ids: &[Uuid]) -> Answer<HashMap<Uuid, Fate>> {
        ask!(self, fates(request_ids))
    }

    /// Withdraws a callback, of this app where one is given. It is certain for one whose next
    /// attempt lies more than `margin` after `now` (Unix ms): its row is `Cancelled` from then on.
    /// For others the wish is noted.
    pub async fn cancel(
        &self,
        request_id: Uuid,
        app_id: Option<&str>,
        now: u64,
        margin: Duration,
    ) -> Answer<Cancelled> {
        ask!(self, cancel(request_id, app_id, now, margin))
    }

    /// The callbacks withdrawn at `since` (Unix ms) or later, certainly or perhaps.
    pub async fn cancelled_since(&self, since: u64) -> Answer<Vec<Uuid>> {
        ask!(self, cancelled_since(since))
    }

    /// Claims an idempotency key, atomically over all processes.
    pub async fn claim(&self, claim: &Claim) -> Answer<Claimed> {
        ask!(self, claim(claim))
    }

    /// The claim's message is confirmed by the broker.
    pub async fn confirm_claim(&self, app_id: &str, key: &str) -> Answer<()> {
        ask!(self, confirm_claim(app_id, key))
    }

    /// The claim's publish failed: whoever repeats it may take it up at once, under the same id.
    pub async fn release_claim(&self, app_id: &str, key: &str) -> Answer<()> {
        ask!(self, release_claim(app_id, key))
    }

    /// The queue message of a callback given up, while it is kept.
    pub async fn dead_letter(&self, request_id: Uuid) -> Answer<Option<Bytes>> {
        ask!(self, dead_letter(request_id))
    }

    /// Takes at most `limit` matching dead letters, oldest first, each into its next generation.
    /// They are to be published, then told to [`Journal::replayed`].
    pub async fn take_replays(&self, filter: &Filter, limit: u32, now: u64) -> Answer<Vec<Replay>> {
        ask!(self, take_replays(filter, limit, now))
    }

    /// Takes one dead letter into its next generation.
    pub async fn take_replay(&self, request_id: Uuid, now: u64) -> Answer<Mended> {
        ask!(self, take_replay(request_id, now))
    }

    /// Replays that were taken before `before` (Unix ms) and never told to be published: their
    /// publisher died. They are handed out again, and count as taken at `now`.
    pub async fn unfinished_replays(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> Answer<Vec<Replay>> {
        ask!(self, unfinished_replays(before, limit, now))
    }

    /// These replays (id and generation) are in the queue, confirmed.
    pub async fn replayed(&self, done: &[(Uuid, u32)]) -> Answer<()> {
        ask!(self, replayed(done))
    }

    /// Puts at most `limit` matching dead letters out of sight for good; returns how many.
    pub async fn discard(&self, filter: &Filter, limit: u32, now: u64) -> Answer<u64> {
        ask!(self, discard(filter, limit, now))
    }

    /// Puts one dead letter out of sight; `false` where it is none.
    pub async fn discard_one(&self, request_id: Uuid, now: u64) -> Answer<bool> {
        ask!(self, discard_one(request_id, now))
    }

    /// Writes down who did what.
    pub async fn audit(&self, audit: &Audit) -> Answer<()> {
        ask!(self, audit(audit))
    }

    /// The newest entries of the audit log.
    pub async fn audits(&self, limit: u32) -> Answer<Vec<Audit>> {
        ask!(self, audits(limit))
    }

    /// Pauses a callee or target; `false` where it is paused already: the first one's word stays.
    pub async fn pause(&self, pause: &Pause) -> Answer<bool> {
        ask!(self, pause(pause))
    }

    /// Ends a pause; returns the one that was in force.
    pub async fn resume(&self, kind: PauseKind, name: &str) -> Answer<Option<Pause>> {
        ask!(self, resume(kind, name))
    }

    /// All pauses in force, oldest first.
    pub async fn pauses(&self) -> Answer<Vec<Pause>> {
        ask!(self, pauses())
    }

    /// One small step of the retention, without a long lock.
    pub async fn retain(&self, retention: Retention, now: u64) -> Answer<Retained> {
        ask!(self, retain(retention, now))
    }

    /// Ends all connections, or closes the file.
    pub async fn close(&self) {
        match &self.0 {
            Adapter::Postgres(adapter) => adapter.close().await,
            Adapter::Sqlite(adapter) => adapter.close().await,
        }
    }
}
