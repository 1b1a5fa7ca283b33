//! The servers of `journal.url`, and which of their connections may be used.
//!
//! Records are written to the primary alone: a standby takes none, and answers what was true before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Error, PgPool};

use super::error::is_read_only;
use crate::url::JournalUrl;

/// A connection that was not used for this long is asked whether its server is still a primary.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// Longer than anyone waits for a connection: to a standby there is none.
const NO_CONNECTION: Duration = Duration::from_secs(10);

/// The servers, in the order of the URL.
pub(super) struct Hosts {
    url: Mutex<JournalUrl>,
    current: AtomicUsize,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    /// Connections made before are dropped: one of them said that it is read-only.
    distrusted: Option<Instant>,
    /// Why the last new connection is not used.
    refused: Option<String>,
}

impl Hosts {
    pub(super) fn new(url: JournalUrl) -> Self {
        Self {
            url: Mutex::new(url),
            current: AtomicUsize::new(0),
            sessions: Mutex::default(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn url(&self) -> MutexGuard<'_, JournalUrl> {
        self.url.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the user and the password of `new` for new connections, if it names the same database.
    pub(super) fn use_credentials(&self, new: &JournalUrl, pool: &PgPool) {
        let mut url = self.url();
        if !url.is_same_database(new) {
            return;
        }
        *url = new.clone();
        let current = self.current.load(Ordering::Relaxed);
        if let Some(options) = new.servers().get(current) {
            pool.set_connect_options(options.clone());
        }
    }

    /// A pool of connections to the primary.
    pub(super) fn pool(self: &std::sync::Arc<Self>, options: PgPoolOptions) -> Option<PgPool> {
        let (new, used) = (std::sync::Arc::clone(self), std::sync::Arc::clone(self));
        let options = options
            .after_connect(move |connection, _| {
                let hosts = std::sync::Arc::clone(&new);
                Box::pin(async move { hosts.check_new(connection).await })
            })
            .before_acquire(move |connection, about| {
                let hosts = std::sync::Arc::clone(&used);
                Box::pin(async move { hosts.check_used(connection, &about).await })
            });
        let first = self.url().servers().first()?.clone();
        Some(options.connect_lazy_with(first))
    }

    async fn check_new(&self, connection: &mut PgConnection) -> Result<(), Error> {
        if !is_in_recovery(connection).await? {
            self.sessions().refused = None;
            return Ok(());
        }
        let reason = "the server is a standby, and no primary was found".to_owned();
        self.sessions().refused = Some(reason.clone());
        // An error would be tried again at once.
        tokio::time::sleep(NO_CONNECTION).await;
        Err(Error::Configuration(reason.into()))
    }

    /// Whether the connection may be used again.
    async fn check_used(
        &self,
        connection: &mut PgConnection,
        about: &PoolConnectionMetadata,
    ) -> Result<bool, Error> {
        let distrusted = self.sessions().distrusted;
        if distrusted.is_some_and(|since| about.age >= since.elapsed()) {
            return Ok(false);
        }
        Ok(about.idle_for < TRUSTED_FOR || !is_in_recovery(connection).await?)
    }

    /// Learns from an error: connections to a server that takes no writes are dropped, and another
    /// server is tried. Returns a better reason, if there is one.
    pub(super) fn note(&self, error: &Error, pool: &PgPool) -> Option<String> {
        let is_database_error = error.as_database_error().is_some();
        if is_read_only(error) {
            self.sessions().distrusted = Some(Instant::now());
        } else if is_database_error {
            return None;
        }
        let url = self.url();
        if url.servers().len() > 1 {
            let next = (self.current.load(Ordering::Relaxed) + 1) % url.servers().len();
            self.current.store(next, Ordering::Relaxed);
            if let Some(options) = url.servers().get(next) {
                pool.set_connect_options(options.clone());
            }
        }
        drop(url);
        match is_database_error {
            true => None,
            false => self.sessions().refused.clone(),
        }
    }
}

async fn is_in_recovery(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar("SELECT pg_is_in_recovery()")
        .fetch_one(connection)
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn new_connections_use_the_new_user_of_the_same_database_alone() {
        let url = |text: &str| JournalUrl::parse(text).unwrap();
        let hosts = Arc::new(Hosts::new(url(
            "postgres://one:a@127.0.0.1:1,127.0.0.1:2/db",
        )));
        let pool = hosts.pool(PgPoolOptions::new()).unwrap();
        let user = || pool.connect_options().get_username().to_owned();
        assert_eq!(user(), "one");
        hosts.use_credentials(&url("postgres://two:b@127.0.0.1:1,127.0.0.1:2/db"), &pool);
        assert_eq!(user(), "two");
        hosts.use_credentials(&url("postgres://three:c@127.0.0.1:1/db"), &pool);
        assert_eq!(user(), "two");
        // Also for the server that is tried next.
        assert_eq!(hosts.note(&Error::PoolTimedOut, &pool), None);
        assert_eq!(
            (user(), pool.connect_options().get_port()),
            ("two".to_owned(), 2)
        );
    }
}
