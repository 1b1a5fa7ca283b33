//! The pool of connections to PostgreSQL.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};

use super::error::with_timeout;
use crate::error::JournalResult;

const MAX_CONNECTIONS: u32 = 8;
/// How long a query waits for a connection if none is free or the server is down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// More than twice the server's limit on a statement: only a connection that was lost silently
/// takes this long.
const QUERY_TIMEOUT: Duration = Duration::from_secs(12);

/// Set on every connection.
const SESSION: [(&str, &str); 4] = [
    // Every query is short; one that is not has gone wrong.
    ("statement_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    // Which partition and which index to use depends on the values.
    ("plan_cache_mode", "force_custom_plan"),
    // Costs more than it saves for short statements over many partitions.
    ("jit", "off"),
];

/// The journal in PostgreSQL. Its `Debug` output does not contain the password.
#[derive(Clone)]
pub(crate) struct PostgresJournal {
    pub(super) pool: PgPool,
}

impl fmt::Debug for PostgresJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresJournal").finish_non_exhaustive()
    }
}

impl PostgresJournal {
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let schemes = ["postgres://", "postgresql://"];
        if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
            return Err("the journal's URL must begin with postgres://".to_owned());
        }
        // The parser's own message may quote a part of the URL.
        let options: PgConnectOptions = url.parse().map_err(|_| {
            "the journal's URL is not of the form postgres://user:password@host:port/database"
                .to_owned()
        })?;
        let options = options
            .application_name("ringback")
            .options(SESSION)
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// Runs a query, within [`QUERY_TIMEOUT`].
    pub(super) async fn run<T>(
        &self,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> JournalResult<T> {
        with_timeout(QUERY_TIMEOUT, query).await
    }
}
