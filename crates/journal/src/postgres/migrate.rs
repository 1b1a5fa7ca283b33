//! How do the tables come to be as this version needs them?

use sqlx::{Error, PgPool};

/// Names the lock under which tables are made and changed.
const LOCK: i64 = i64::from_be_bytes(*b"Ringback");

/// Every change there ever was, in order. One that was released is never edited.
const MIGRATIONS: [(i32, &str); 2] = [
    (1, include_str!("migrations/0001_tables.sql")),
    (2, include_str!("migrations/0002_pauses.sql")),
];

/// All or nothing: PostgreSQL makes tables within a transaction.
pub(super) async fn migrate(pool: &PgPool) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    // Another process may be at work, and a change of a large table takes its time.
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
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > newest) {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO migrations (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        tracing::info!(
            version,
            "the journal's tables were made as this version needs them"
        );
    }
    transaction.commit().await
}
