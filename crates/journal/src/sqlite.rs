//! How is the journal kept in a file beside the embedded store?
//!
//! - `thread.rs`: the threads that own the connections; everyone who waits shares one sync.
//! - `tables.rs`: how callbacks lie on disk. `write.rs`: a record over whatever is there.
//! - `read.rs` with `filter.rs`: how they are read back.
//! - `change.rs`: withdrawals, replays, discards. `claim.rs`: idempotency keys. `keep.rs`: retention
//!   and the audit log. `pauses.rs`: who is not to be called for now.

mod change;
mod claim;
mod filter;
mod keep;
mod pauses;
mod read;
mod tables;
mod thread;
mod write;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::callback::Callback;
use crate::claim::{Claim, Claimed};
use crate::fate::{Cancelled, Fate};
use crate::journal::{JournalError, Retained, Retention};
use crate::pause::{Pause, PauseKind};
use crate::precedence::{self, Row};
use crate::query::{Cursor, Filter, Page};
use crate::record::{Attempt, Record};
use crate::replay::{Audit, Mended, Replay};
use thread::Worker;

const FILE: &str = "journal.db";

type Answer<T> = Result<T, JournalError>;

/// The journal's file. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sqlite {
    writer: Worker,
    /// Looks at single callbacks: workers wait for it.
    reader: Worker,
    /// Looks at many: people wait for it, and it may take its time.
    lister: Worker,
}

impl Sqlite {
    pub(crate) fn open(directory: &Path) -> Result<Self, String> {
        let file = directory.join(FILE);
        let sentence = |reason: &dyn std::fmt::Display| {
            format!("the journal {} cannot be opened: {reason}", file.display())
        };
        let writer = tables::open_writer(&file).map_err(|it| sentence(&it))?;
        let reader = || {
            let connection = tables::open_reader(&file).map_err(|it| sentence(&it))?;
            Worker::reader(connection).map_err(|it| sentence(&it))
        };
        let (reader, lister) = (reader()?, reader()?);
        let writer = Worker::writer(writer).map_err(|it| sentence(&it))?;
        Ok(Self {
            writer,
            reader,
            lister,
        })
    }

    /// The file is this process's own: its tables were made when it was opened.
    pub(crate) async fn migrate(&self) -> Answer<()> {
        self.reader.ask(|_| Ok(())).await
    }

    pub(crate) async fn record(&self, records: &[Record]) -> Answer<()> {
        let rows: Vec<Row> = precedence::rows(records).into_values().collect();
        let attempt = |it: &Record| Some((it.origin.request_id, it.attempted.clone()?));
        let attempts: Vec<(Uuid, Attempt)> = records.iter().filter_map(attempt).collect();
        let work = move |it: &_| write::record(it, &rows, &attempts);
        self.writer.ask(work).await
    }

    pub(crate) async fn find(&self, request_id: Uuid) -> Answer<Option<Callback>> {
        let work = move |it: &_| read::find(it, request_id);
        self.reader.ask(work).await
    }

    pub(crate) async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
        now: u64,
    ) -> Answer<Page> {
        let filter = filter.clone();
        let work = move |it: &_| read::list(it, &filter, after, limit, now);
        self.lister.ask(work).await
    }

    pub(crate) async fn count(&self, filter: &Filter, now: u64) -> Answer<u64> {
        let filter = filter.clone();
        let work = move |it: &_| read::count(it, &filter, now);
        self.lister.ask(work).await
    }

    pub(crate) async fn fates(&self, request_ids: &[Uuid]) -> Answer<HashMap<Uuid, Fate>> {
        let request_ids = request_ids.to_vec();
        let work = move |it: &_| read::fates(it, &request_ids);
        self.reader.ask(work).await
    }

    pub(crate) async fn cancel(
        &self,
        request_id: Uuid,
        app_id: Option<&str>,
        now: u64,
        margin: Duration,
    ) -> Answer<Cancelled> {
        let app_id = app_id.map(str::to_owned);
        let work = move |it: &_| change::cancel(it, request_id, app_id.as_deref(), now, margin);
        self.writer.ask(work).await
    }

    pub(crate) async fn cancelled_since(&self, since: u64) -> Answer<Vec<Uuid>> {
        let work = move |it: &_| change::cancelled_since(it, since);
        self.reader.ask(work).await
    }

    pub(crate) async fn claim(&self, claim: &Claim) -> Answer<Claimed> {
        let claim = claim.clone();
        let work = move |it: &_| claim::claim(it, &claim);
        self.writer.ask(work).await
    }

    pub(crate) async fn confirm_claim(&self, app_id: &str, key: &str) -> Answer<()> {
        let (app_id, key) = (app_id.to_owned(), key.to_owned());
        let work = move |it: &_| claim::confirm(it, &app_id, &key);
        self.writer.ask(work).await
    }

    pub(crate) async fn release_claim(&self, app_id: &str, key: &str) -> Answer<()> {
        let (app_id, key) = (app_id.to_owned(), key.to_owned());
        let work = move |it: &_| claim::release(it, &app_id, &key);
        self.writer.ask(work).await
    }

    pub(crate) async fn dead_letter(&self, request_id: Uuid) -> Answer<Option<Bytes>> {
        let work = move |it: &_| read::dead_letter(it, request_id);
        self.reader.ask(work).await
    }

    pub(crate) async fn take_replays(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> Answer<Vec<Replay>> {
        let filter = filter.clone();
        let work = move |it: &_| change::take_replays(it, &filter, limit, now);
        self.writer.ask(work).await
    }

    pub(crate) async fn take_replay(&self, request_id: Uuid, now: u64) -> Answer<Mended> {
        let work = move |it: &_| change::take_replay(it, request_id, now);
        self.writer.ask(work).await
    }

    pub(crate) async fn unfinished_replays(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> Answer<Vec<Replay>> {
        let work = move |it: &_| change::unfinished_replays(it, before, limit, now);
        self.writer.ask(work).await
    }

    pub(crate) async fn replayed(&self, done: &[(Uuid, u32)]) -> Answer<()> {
        let done = done.to_vec();
        let work = move |it: &_| change::replayed(it, &done);
        self.writer.ask(work).await
    }

    pub(crate) async fn discard(&self, filter: &Filter, limit: u32, _now: u64) -> Answer<u64> {
        let filter = filter.clone();
        let work = move |it: &_| change::discard(it, &filter, limit);
        self.writer.ask(work).await
    }

    pub(crate) async fn discard_one(&self, request_id: Uuid, _now: u64) -> Answer<bool> {
        let work = move |it: &_| change::discard_one(it, request_id);
        self.writer.ask(work).await
    }

    pub(crate) async fn audit(&self, audit: &Audit) -> Answer<()> {
        let audit = audit.clone();
        let work = move |it: &_| keep::audit(it, &audit);
        self.writer.ask(work).await
    }

    pub(crate) async fn audits(&self, limit: u32) -> Answer<Vec<Audit>> {
        let work = move |it: &_| keep::audits(it, limit);
        self.lister.ask(work).await
    }

    pub(crate) async fn pause(&self, pause: &Pause) -> Answer<bool> {
        let pause = pause.clone();
        let work = move |it: &_| pauses::pause(it, &pause);
        self.writer.ask(work).await
    }

    pub(crate) async fn resume(&self, kind: PauseKind, name: &str) -> Answer<Option<Pause>> {
        let name = name.to_owned();
        let work = move |it: &_| pauses::resume(it, kind, &name);
        self.writer.ask(work).await
    }

    pub(crate) async fn pauses(&self) -> Answer<Vec<Pause>> {
        self.reader.ask(pauses::pauses).await
    }

    pub(crate) async fn retain(&self, retention: Retention, now: u64) -> Answer<Retained> {
        let work = move |it: &_| keep::retain(it, retention, now);
        self.writer.ask(work).await
    }

    /// Readers first: the writer can then fold the log in.
    pub(crate) async fn close(&self) {
        tokio::join!(self.reader.stop(), self.lister.stop());
        self.writer.stop().await;
    }
}
