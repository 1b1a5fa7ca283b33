//! The pool of connections to PostgreSQL.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::error::{is_stopped, with_timeout};
use super::hosts::Hosts;
use super::unreachable::Unreachable;
use crate::error::{JournalError, JournalResult};
use crate::url::JournalUrl;

const MAX_CONNECTIONS: u32 = 8;
/// How long a query waits for a connection if none is free or the server is down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// More than twice the server's limit on a statement: only a connection that was lost silently
/// takes this long.
const QUERY_TIMEOUT: Duration = Duration::from_secs(12);

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
    pub(crate) fn new(url: JournalUrl) -> Result<Self, String> {
        let unreachable = Arc::new(Unreachable::new(url.servers()));
        let hosts = Arc::new(Hosts::new(url));
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = hosts
            .pool(pool)
            .ok_or("the journal's URL names no server")?;
        Ok(Self {
            pool,
            hosts,
            unreachable,
        })
    }

    /// Uses the user and the password of `url` for new connections, if it names the same database.
    pub(super) fn use_credentials(&self, url: &JournalUrl) {
        self.hosts.use_credentials(url, &self.pool);
    }

    /// Runs a query, within [`QUERY_TIMEOUT`].
    pub(super) async fn run<T>(
        &self,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> JournalResult<T> {
        self.run_within(QUERY_TIMEOUT, query).await
    }

    /// Runs a query for people, which the server stops when it takes too long (`statement_timeout`).
    pub(super) async fn look<T>(
        &self,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> JournalResult<T> {
        let mut stopped = None;
        let query = async {
            let result = query.await;
            stopped = result
                .as_ref()
                .err()
                .filter(|it| is_stopped(it))
                .map(ToString::to_string);
            result
        };
        let result = self.run(query).await;
        match stopped {
            Some(reason) => Err(JournalError::TooSlow(reason)),
            None => result,
        }
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
