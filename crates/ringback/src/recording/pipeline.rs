//! Where the journal is, and what feeds and maintains it.
//!
//! - `journal.url`: PostgreSQL. Records travel through the broker's queue, and a writer stores them.
//! - A data directory: SQLite in it, directly from memory.
//! - Neither: there is no journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use admin::Reconciler;
use broker::embedded::check_database;
use broker::{Broker, StoreClock};
use delivery::CalleeRegistry;
use journal::{Journal, RecordSink, Recorder, RecorderOptions, Retention, Spool};
use journal::{JournalConfig, JournalHandle};
use runtime::{ConfigError, Health, Reloadable};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health;
use super::metrics::RecordingMetrics;
use super::reaper::{MessageLocation, Reaper};
use super::recorders;
use super::retention::retain;
use super::sinks::{DirectSink, QueueSink};
use super::spool::{SpoolMetrics, open_spool, watch_spool};
use super::states::count_states;
use super::write_health::WriteHealth;
use super::writer::Writer;

/// A process's journal, and the pipeline of records into it.
#[derive(Clone)]
pub(crate) struct Recording {
    pub(crate) handle: JournalHandle,
    kind: JournalKind,
    metrics: RecordingMetrics,
    writes: WriteHealth,
    spool_metrics: SpoolMetrics,
    /// Whether the tables are as this version needs them.
    migrated: watch::Sender<bool>,
    /// Cancelled when the journal closes.
    closing: CancellationToken,
}

/// What the maintenance of the journal needs.
pub(crate) struct Maintenance {
    pub(crate) retention: Retention,
    /// How long after its due time a callback may be marked `unaccounted`; `None`: never.
    pub(crate) unaccounted_after: Option<Duration>,
    pub(crate) callee_registry: Reloadable<CalleeRegistry>,
}

/// Where a journal is.
#[derive(Debug)]
pub(crate) enum JournalLocation {
    Postgres(SecretString),
    Directory(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JournalKind {
    Postgres,
    Sqlite,
}

impl JournalKind {
    /// Its name in logs and metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }
}

impl JournalLocation {
    /// The location that `journal.url` or `broker.data_dir` names, or else `default`.
    ///
    /// # Errors
    /// When the settings name two.
    pub(crate) fn find(
        url: Option<&SecretString>,
        data_dir: Option<&Path>,
        default: Option<&Path>,
    ) -> Result<Option<Self>, ConfigError> {
        match (url, data_dir, default) {
            (Some(_), Some(_), _) => {
                let reason = "the embedded store in broker.data_dir keeps its own journal there \
                              (unset it, or replace broker.data_dir by broker.url)";
                Err(ConfigError::refused("journal.url", reason))
            }
            (Some(url), None, _) => Ok(Some(Self::Postgres(url.clone()))),
            (None, Some(directory), _) => Ok(Some(Self::Directory(directory.to_owned()))),
            (None, None, default) => Ok(default.map(|path| Self::Directory(path.to_owned()))),
        }
    }

    /// Whether records travel through the broker's queue.
    pub(crate) const fn is_shared(&self) -> bool {
        match self {
            Self::Postgres(_) => true,
            Self::Directory(_) => false,
        }
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Postgres(_) => None,
            Self::Directory(directory) => Some(directory),
        }
    }

    /// Refuses a journal file of another version, without changing anything.
    ///
    /// # Errors
    /// A sentence that names both versions.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Postgres(_) => Ok(()), // Its tables are checked when it answers.
            Self::Directory(directory) => Journal::check(directory)
                .map_err(|reason| ConfigError::refused("broker.data_dir", reason)),
        }
    }

    /// Refuses a journal file that is damaged. Call it with the directory locked.
    ///
    /// # Errors
    /// A sentence that names the file, and what to do.
    pub(crate) fn check_for_damage(&self) -> Result<(), ConfigError> {
        match self {
            Self::Postgres(_) => Ok(()),
            Self::Directory(directory) => check_database(&Journal::file_in(directory))
                .map_err(|reason| ConfigError::refused("broker.data_dir", reason)),
        }
    }

    /// Opens the journal. Its directory is locked already.
    ///
    /// # Errors
    /// When the location is invalid. A database that does not answer is not an error.
    ///
    /// `clock`: the embedded store's, if it is open.
    pub(crate) fn open(&self, clock: Option<StoreClock>) -> Result<Journal, ConfigError> {
        match self {
            Self::Postgres(url) => Journal::connect(url.expose_secret())
                .map_err(|reason| ConfigError::refused("journal.url", reason)),
            Self::Directory(directory) => match clock {
                Some(clock) => Journal::open_with_clock(directory, move || clock.now_ms()),
                None => Journal::open(directory),
            }
            .map_err(|reason| ConfigError::refused("broker.data_dir", reason)),
        }
    }
}

impl Recording {
    /// Opens the journal, and starts to collect records for it.
    ///
    /// # Errors
    /// As [`JournalLocation::open`], or when the directory of the spool cannot be used.
    ///
    /// `accepts`: the process accepts callbacks.
    pub(crate) fn start(
        location: &JournalLocation,
        config: &JournalConfig,
        broker: &Broker,
        accepts: bool,
        metrics: RecordingMetrics,
        spool_metrics: SpoolMetrics,
    ) -> Result<Self, ConfigError> {
        let spool = config.spool_directory(location.directory());
        let spool: Option<Spool> = spool.map(|path| open_spool(&path)).transpose()?.flatten();
        let journal = location.open(broker.store_clock())?;
        let heartbeat = heartbeat(location, accepts);
        let writes = WriteHealth::new(heartbeat);
        let (kind, sink): (_, Arc<dyn RecordSink>) = match location {
            JournalLocation::Postgres(_) => {
                (JournalKind::Postgres, Arc::new(QueueSink(broker.clone())))
            }
            JournalLocation::Directory(_) => {
                let sink = DirectSink {
                    journal: journal.clone(),
                    metrics: metrics.clone(),
                    health: writes.clone(),
                };
                (JournalKind::Sqlite, Arc::new(sink))
            }
        };
        let options = RecorderOptions {
            capacity: config.buffer,
            accepts,
            heartbeat,
        };
        let recorder = Recorder::start_with(sink, options, spool);
        Ok(Self {
            handle: JournalHandle {
                journal,
                recorder,
                keep: config.keep(),
            },
            kind,
            metrics,
            writes,
            spool_metrics,
            migrated: watch::Sender::new(false),
            closing: CancellationToken::new(),
        })
    }

    /// Migrates the journal as soon as the database answers, and reports its state from then on.
    pub(crate) fn watch(&self, health: Arc<Health>) {
        let JournalHandle {
            journal, recorder, ..
        } = self.handle.clone();
        let (closing, kind) = (self.closing.clone(), self.kind.as_str());
        let alone = self.kind == JournalKind::Sqlite;
        let migrated = self.migrated.subscribe();
        let registering = recorders::register(journal.clone(), recorder.clone(), alone, migrated);
        let own = recorder.info().id;
        let writes = self.writes.clone();
        let spool = watch_spool(recorder.clone(), self.spool_metrics.clone());
        let recorder = health::watch_recorder(recorder, writes.clone(), self.metrics.clone());
        let migrated = self.migrated.clone();
        let metrics = self.metrics.clone();
        let journal = health::watch_journal(journal, own, writes, kind, migrated, health, metrics);
        tokio::spawn(async move {
            let all = async { tokio::join!(recorder, spool, journal, registering) };
            closing.run_until_cancelled(all).await;
        });
    }

    /// Stores queued records, removes expired ones, and marks callbacks whose end was not recorded,
    /// until `stop`.
    pub(crate) async fn run_maintenance(
        &self,
        maintenance: Maintenance,
        broker: &Broker,
        stop: CancellationToken,
    ) {
        let Maintenance {
            retention,
            unaccounted_after,
            callee_registry,
        } = maintenance;
        // Tables of another version are neither written nor cleaned.
        let mut migrated = self.migrated.subscribe();
        let ready = migrated.wait_for(|migrated| *migrated);
        if !matches!(stop.run_until_cancelled(ready).await, Some(Ok(_))) {
            return;
        }
        let journal = &self.handle.journal;
        let metrics = self.metrics.clone();
        let recorders = recorders::watch(
            journal.clone(),
            self.handle.recorder.info().id,
            retention.callbacks,
            metrics.clone(),
            stop.clone(),
        );
        let counting = count_states(
            journal.clone(),
            self.handle.recorder.info().id,
            metrics.clone(),
            stop.clone(),
        );
        let retaining = retain(journal.clone(), retention, metrics, stop.clone());
        let reaping = async {
            let Some(after) = unaccounted_after else {
                return;
            };
            let reaper = Reaper {
                location: match self.kind {
                    JournalKind::Postgres => MessageLocation::Queues,
                    JournalKind::Sqlite => MessageLocation::Store,
                },
                broker: broker.clone(),
                journal: journal.clone(),
                recorder: self.handle.recorder.clone(),
                reconciler: Reconciler {
                    broker: broker.clone(),
                    journal: journal.clone(),
                    callee_registry,
                    retention: retention.callbacks,
                    dead_letter_retention: retention.dead_letters,
                },
                metrics: self.metrics.clone(),
                after,
                stop: stop.clone(),
                reading: TaskTracker::new(),
            };
            reaper.run().await;
        };
        match self.kind {
            JournalKind::Sqlite => {
                tokio::join!(retaining, recorders, counting, reaping);
            }
            JournalKind::Postgres => {
                let sink = DirectSink {
                    journal: journal.clone(),
                    metrics: self.metrics.clone(),
                    health: self.writes.clone(),
                };
                let writer = Writer::new(broker.clone(), sink);
                let writing = writer.run(stop.clone());
                tokio::join!(retaining, recorders, counting, reaping, writing);
            }
        }
    }

    /// Makes all buffered records durable, then closes the journal.
    pub(crate) async fn close(&self) {
        self.handle.recorder.close().await;
        self.closing.cancel();
        self.handle.journal.close().await;
    }
}

/// How often a recorder without records says so. It travels through the queue to PostgreSQL; in a file
/// it costs a sync, and a query asks for one when it needs it.
const fn heartbeat(location: &JournalLocation, accepts: bool) -> Duration {
    match (location, accepts) {
        (JournalLocation::Postgres(_), true) => Duration::from_secs(5),
        (JournalLocation::Postgres(_), false) => Duration::from_secs(30),
        (JournalLocation::Directory(_), _) => Duration::from_secs(60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "postgres://a:b@journal.example/ringback";
    const DIRECTORY: &str = "/var/lib/ringback";

    fn find(
        url: Option<&str>,
        directory: Option<&str>,
        default: Option<&str>,
    ) -> Result<Option<JournalLocation>, ConfigError> {
        let url = url.map(SecretString::from);
        let (directory, default) = (directory.map(Path::new), default.map(Path::new));
        JournalLocation::find(url.as_ref(), directory, default)
    }

    #[test]
    fn the_settings_decide_where_the_journal_is_or_else_the_role() {
        assert!(find(None, None, None).unwrap().is_none());
        for default in [None, Some("/tmp/dev")] {
            let Ok(Some(JournalLocation::Postgres(url))) = find(Some(URL), None, default) else {
                panic!("{default:?}")
            };
            assert_eq!(url.expose_secret(), URL);
            let found = find(None, Some(DIRECTORY), default);
            let Ok(Some(JournalLocation::Directory(found))) = found else {
                panic!("{default:?}")
            };
            assert_eq!(found, Path::new(DIRECTORY));
        }
        let Ok(Some(JournalLocation::Directory(found))) = find(None, None, Some("/tmp/dev")) else {
            panic!("no location")
        };
        assert_eq!(found, Path::new("/tmp/dev"));
    }

    #[test]
    fn a_journal_of_another_version_is_refused_untouched() {
        let directory = std::env::temp_dir().join(format!("ringback-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        let location = JournalLocation::Directory(directory.clone());
        assert!(location.check().is_ok(), "a missing journal is no error");
        let file = directory.join("journal.db");
        let journal = Journal::open(&directory).unwrap();
        assert!(location.check().is_ok());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(journal.close());
        // The version is the 4 bytes at offset 60 of the header.
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[60..64].copy_from_slice(&2_u32.to_be_bytes());
        std::fs::write(&file, &bytes).unwrap();
        let refused = location.check().unwrap_err().to_string();
        assert!(refused.contains("it has version 2"), "{refused}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_embedded_store_keeps_its_own_journal() {
        let refused = find(Some(URL), Some(DIRECTORY), None).unwrap_err();
        let begin = "journal.url: the embedded store";
        assert!(refused.to_string().starts_with(begin), "{refused}");
    }
}
