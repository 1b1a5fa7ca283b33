//! Creates the tables, and refuses those of another version.

use std::time::Duration;

use sqlx::{Error, PgPool};

use super::connection::PostgresJournal;
use crate::error::{JournalError, JournalResult};

/// The advisory lock under which tables are created and changed.
const LOCK: i64 = i64::from_be_bytes(*b"Ringback");
/// Longer than the server's limit on a migration.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(120);

/// The version of the tables. Versions 1 and 2 are from before 0.2.0 and are not upgraded.
const VERSION: i32 = 7;
/// In order. A migration that was released is never edited.
const MIGRATIONS: [(i32, &str); 5] = [
    (3, include_str!("schema.sql")),
    (4, include_str!("schema_4.sql")),
    (5, include_str!("schema_5.sql")),
    (6, include_str!("schema_6.sql")),
    (7, include_str!("schema_7.sql")),
];
/// The oldest version that can be upgraded: that of 0.2.0.
const OLDEST: i32 = 3;

/// The only encoding that holds every text that callers send.
const ENCODING: &str = "UTF8";

pub(super) async fn migrate(journal: &PostgresJournal) -> JournalResult<()> {
    let pool = &journal.pool;
    let encoding = sqlx::query_scalar("SHOW server_encoding").fetch_one(pool);
    let encoding: String = journal.run(encoding).await?;
    if encoding != ENCODING {
        return Err(JournalError::Incompatible(format!(
            "the database's encoding is {encoding}, which cannot hold every record: create one by \
             CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, and set journal.url to it"
        )));
    }
    let version = journal.run_within(MIGRATION_TIMEOUT, upgrade(pool)).await?;
    let advice = match version {
        VERSION => return Ok(()),
        older if older < OLDEST => {
            "it is from before ringback 0.2.0; create an empty database and set journal.url to it"
        }
        _ => "a newer ringback made it; run that version or a newer one",
    };
    Err(JournalError::Incompatible(format!(
        "the database has version {version}, this program needs version {VERSION}: {advice}"
    )))
}

/// Applies missing migrations, all or none: DDL is transactional in PostgreSQL. Returns the version
/// of the tables afterwards; those of an incompatible version are left unchanged.
async fn upgrade(pool: &PgPool) -> Result<i32, Error> {
    let mut transaction = pool.begin().await?;
    // Another process may be migrating, and changing a large table takes time.
    sqlx::query("SET LOCAL statement_timeout = '100s'")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS migrations \
         (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
    )
    .execute(&mut *transaction)
    .await?;
    let newest: i32 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM migrations")
        .fetch_one(&mut *transaction)
        .await?;
    if newest != 0 && !(OLDEST..=VERSION).contains(&newest) {
        return Ok(newest);
    }
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > newest) {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO migrations (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        tracing::info!(version, "journal migrated");
    }
    transaction.commit().await?;
    Ok(VERSION)
}
