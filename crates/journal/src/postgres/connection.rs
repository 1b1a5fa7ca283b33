//! The pool of connections to PostgreSQL.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};

use super::error::with_timeout;
use super::hosts::Hosts;
use super::unreachable::Unreachable;
use crate::error::{JournalError, JournalResult};
use crate::hosts::each_server;

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
    hosts: Arc<Hosts>,
    unreachable: Arc<Unreachable>,
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
        let unusable = || {
            "the journal's URL is not of the form postgres://user:password@host:port/database"
                .to_owned()
        };
        let parse = |url: String| {
            let options: PgConnectOptions = url.parse().map_err(|_| unusable())?;
            Ok(options
                .application_name("ringback")
                .options(SESSION)
                .disable_statement_logging())
        };
        let servers = each_server(url).into_iter().map(parse);
        let options = servers.collect::<Result<Vec<_>, String>>()?;
        let unreachable = Arc::new(Unreachable::new(&options));
        let hosts = Arc::new(Hosts::new(options));
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = hosts.pool(pool).ok_or_else(unusable)?;
        Ok(Self {
            pool,
            hosts,
            unreachable,
        })
    }

    /// Runs a query, within [`QUERY_TIMEOUT`].
    pub(super) async fn run<T>(
        &self,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> JournalResult<T> {
        self.run_within(QUERY_TIMEOUT, query).await
    }

    /// Runs a query with a timeout, and learns from its error which connections to drop.
    pub(super) async fn run_within<T>(
        &self,
        timeout: Duration,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> JournalResult<T> {
        let mut better = None;
        let query = async {
            let result = query.await;
            if let Err(error) = &result {
                better = self.hosts.note(error, &self.pool);
                if better.is_none() {
                    better = self.unreachable.reason(error).await;
                }
            }
            result
        };
        let result = with_timeout(timeout, query).await;
        match (result, better) {
            (Err(JournalError::Unavailable(_)), Some(reason)) => {
                Err(JournalError::Unavailable(reason))
            }
            (result, _) => result,
        }
    }
}
