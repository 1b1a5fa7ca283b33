//! How is the journal kept in PostgreSQL?
//!
//! Two tables, `callbacks` and `attempts`, each apart by days of the UUID v7 (`days.rs`), so that
//! retention drops a day at once (`retain.rs`). A record's rank decides in the database which of two
//! is the truth (`write.rs`): any number of processes write in any order.

mod audits;
mod claims;
mod days;
mod errors;
mod filter;
mod mend;
mod migrate;
mod pauses;
mod read;
mod retain;
mod row;
mod withdraw;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};
use uuid::Uuid;

use crate::callback::Callback;
use crate::claim::{Claim, Claimed};
use crate::fate::{Cancelled, Fate};
use crate::journal::{JournalError, Retained, Retention};
use crate::pause::{Pause, PauseKind};
use crate::query::{Cursor, Filter, Page};
use crate::record::Record;
use crate::replay::{Audit, Mended, Replay};

use errors::{ask, within};

const MOST_CONNECTIONS: u32 = 8;
/// So long a question waits for a connection, where none is free or the server is gone.
const ACQUIRE: Duration = Duration::from_secs(2);
/// Longer than the server works on a migration.
const MIGRATION: Duration = Duration::from_secs(120);

/// Set on every connection.
const SESSION: [(&str, &str); 4] = [
    // Nothing that we ask for takes long, and what does must not be waited for.
    ("statement_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    // Which partition and which index will do depends on the values.
    ("plan_cache_mode", "force_custom_plan"),
    // Costs more than it saves on short statements over many partitions.
    ("jit", "off"),
];

/// Shows itself without its password.
#[derive(Clone)]
pub(crate) struct Postgres {
    pool: PgPool,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

impl Postgres {
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let known = ["postgres://", "postgresql://"];
        if !known.iter().any(|scheme| url.starts_with(scheme)) {
            return Err("a journal's URL begins with postgres://".to_owned());
        }
        // The parser's own sentence may quote a part of the URL.
        let options: PgConnectOptions = url.parse().map_err(|_| {
            "the journal's URL is not of the form postgres://user:password@host:port/database"
                .to_owned()
        })?;
        let options = options
            .application_name("ringback")
            .options(SESSION)
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(MOST_CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    pub(crate) async fn migrate(&self) -> Result<(), JournalError> {
        within(MIGRATION, migrate::migrate(&self.pool)).await
    }

    pub(crate) async fn record(&self, records: &[Record]) -> Result<(), JournalError> {
        // Another kind of id names no day, and would have a partition of its own.
        let ids = records.iter().map(|record| record.origin.request_id);
        if let Some(other) = ids.into_iter().find(|id| id.get_version_num() != 7) {
            let sentence = format!("{other} is no UUID of version 7");
            return Err(JournalError::Refused(sentence));
        }
        if records.is_empty() {
            return Ok(());
        }
        ask(write::record(&self.pool, records)).await
    }

    pub(crate) async fn find(&self, request_id: Uuid) -> Result<Option<Callback>, JournalError> {
        ask(read::find(&self.pool, request_id)).await
    }

    pub(crate) async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
        now: u64,
    ) -> Result<Page, JournalError> {
        ask(read::list(&self.pool, filter, after, limit, now)).await
    }

    pub(crate) async fn count(&self, filter: &Filter, now: u64) -> Result<u64, JournalError> {
        ask(read::count(&self.pool, filter, now)).await
    }

    pub(crate) async fn fates(
        &self,
        request_ids: &[Uuid],
    ) -> Result<HashMap<Uuid, Fate>, JournalError> {
        ask(read::fates(&self.pool, request_ids)).await
    }

    pub(crate) async fn cancel(
        &self,
        request_id: Uuid,
        app_id: Option<&str>,
        now: u64,
        margin: Duration,
    ) -> Result<Cancelled, JournalError> {
        ask(withdraw::cancel(
            &self.pool, request_id, app_id, now, margin,
        ))
        .await
    }

    pub(crate) async fn cancelled_since(&self, since: u64) -> Result<Vec<Uuid>, JournalError> {
        ask(read::cancelled_since(&self.pool, since)).await
    }

    pub(crate) async fn claim(&self, claim: &Claim) -> Result<Claimed, JournalError> {
        ask(claims::claim(&self.pool, claim)).await
    }

    pub(crate) async fn confirm_claim(&self, app_id: &str, key: &str) -> Result<(), JournalError> {
        ask(claims::confirm(&self.pool, app_id, key)).await
    }

    pub(crate) async fn release_claim(&self, app_id: &str, key: &str) -> Result<(), JournalError> {
        ask(claims::release(&self.pool, app_id, key)).await
    }

    pub(crate) async fn dead_letter(
        &self,
        request_id: Uuid,
    ) -> Result<Option<Bytes>, JournalError> {
        let found = ask(read::dead_letter(&self.pool, request_id)).await?;
        Ok(found.map(Bytes::from))
    }

    pub(crate) async fn take_replays(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> Result<Vec<Replay>, JournalError> {
        ask(mend::take_replays(&self.pool, filter, limit, now)).await
    }

    pub(crate) async fn take_replay(
        &self,
        request_id: Uuid,
        now: u64,
    ) -> Result<Mended, JournalError> {
        ask(mend::take_replay(&self.pool, request_id, now)).await
    }

    pub(crate) async fn unfinished_replays(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> Result<Vec<Replay>, JournalError> {
        ask(mend::unfinished(&self.pool, before, limit, now)).await
    }

    pub(crate) async fn replayed(&self, done: &[(Uuid, u32)]) -> Result<(), JournalError> {
        ask(mend::replayed(&self.pool, done)).await
    }

    pub(crate) async fn discard(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> Result<u64, JournalError> {
        ask(mend::discard(&self.pool, filter, limit, now)).await
    }

    pub(crate) async fn discard_one(
        &self,
        request_id: Uuid,
        _now: u64,
    ) -> Result<bool, JournalError> {
        ask(mend::discard_one(&self.pool, request_id)).await
    }

    pub(crate) async fn audit(&self, audit: &Audit) -> Result<(), JournalError> {
        ask(audits::audit(&self.pool, audit)).await
    }

    pub(crate) async fn audits(&self, limit: u32) -> Result<Vec<Audit>, JournalError> {
        ask(audits::audits(&self.pool, limit)).await
    }

    pub(crate) async fn pause(&self, pause: &Pause) -> Result<bool, JournalError> {
        ask(pauses::pause(&self.pool, pause)).await
    }

    pub(crate) async fn resume(
        &self,
        kind: PauseKind,
        name: &str,
    ) -> Result<Option<Pause>, JournalError> {
        ask(pauses::resume(&self.pool, kind, name)).await
    }

    pub(crate) async fn pauses(&self) -> Result<Vec<Pause>, JournalError> {
        ask(pauses::pauses(&self.pool)).await
    }

    pub(crate) async fn retain(
        &self,
        retention: Retention,
        now: u64,
    ) -> Result<Retained, JournalError> {
        ask(retain::step(&self.pool, retention, now)).await
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_shown_nowhere() {
        let journal = Postgres::new("postgres://me:secret@127.0.0.1:1/db").unwrap();
        assert!(!format!("{journal:?}").contains("secret"));
        let error = journal.find(Uuid::now_v7()).await.unwrap_err();
        assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"));
        let unusable = Postgres::new("postgres://me:secret@host:port/db").unwrap_err();
        assert!(!unusable.contains("secret"), "{unusable}");
    }

    #[test]
    fn another_scheme_is_no_journal() {
        assert!(Postgres::new("mysql://host/db").is_err());
        assert!(Postgres::new("").is_err());
    }
}
