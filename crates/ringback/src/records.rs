//! Where does a process keep what happened, and how do its records get there?
//!
//! - `journal.url`: PostgreSQL. Records travel through the broker's queue, and a writer stores them.
//! - A data directory: SQLite in it, straight from memory.
//! - Neither: there is no journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use boot::settings::{JournalSettings, Settings};
use boot::{Health, Metrics, SettingsError};
use broker::Broker;
use dispatcher::{ByQueue, Straight, Writer};
use journal::{Journal, Recorder, Retention, Sink};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::reach;

/// A process's journal, and the way to it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Records {
    pub(crate) journal: Journal,
    pub(crate) recorder: Recorder,
    kind: Kind,
    /// Nobody needs to watch any more.
    closing: CancellationToken,
}

/// Where a journal lies.
#[derive(Debug)]
pub(crate) enum Place {
    Postgres(SecretString),
    Directory(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Postgres,
    Sqlite,
}

impl Place {
    /// The place that the settings name, or else `otherwise`, if there is one.
    ///
    /// # Errors
    /// When the settings name two.
    pub(crate) fn find(
        settings: &Settings,
        otherwise: Option<&Path>,
    ) -> Result<Option<Self>, SettingsError> {
        match (&settings.journal.url, &settings.broker.data_dir, otherwise) {
            (Some(_), Some(_), _) => {
                let reason = "the embedded store in broker.data_dir keeps its own journal there \
                              (leave it unset, or set broker.url in the place of broker.data_dir)";
                Err(SettingsError::refused("journal.url", reason))
            }
            (Some(url), None, _) => Ok(Some(Self::Postgres(url.clone()))),
            (None, Some(directory), _) => Ok(Some(Self::Directory(directory.clone()))),
            (None, None, otherwise) => Ok(otherwise.map(|it| Self::Directory(it.to_owned()))),
        }
    }

    /// Opens the journal there, whose directory is locked already.
    ///
    /// # Errors
    /// When the place cannot be used at all. A database that does not answer is no error.
    pub(crate) fn open(&self) -> Result<Journal, SettingsError> {
        match self {
            Self::Postgres(url) => Journal::connect(url.expose_secret())
                .map_err(|reason| SettingsError::refused("journal.url", reason)),
            Self::Directory(directory) => Journal::open(directory)
                .map_err(|reason| SettingsError::refused("broker.data_dir", reason)),
        }
    }
}

impl Records {
    /// Opens the journal at a place, and begins to gather records for it.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub(crate) fn begin(
        place: &Place,
        settings: &JournalSettings,
        broker: &Broker,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, SettingsError> {
        let journal = place.open()?;
        let (kind, sink): (_, Arc<dyn Sink>) = match place {
            Place::Postgres(_) => (Kind::Postgres, Arc::new(ByQueue(broker.clone()))),
            Place::Directory(_) => {
                let straight = Straight {
                    journal: journal.clone(),
                    metrics: Arc::clone(metrics),
                };
                (Kind::Sqlite, Arc::new(straight))
            }
        };
        Ok(Self {
            journal,
            recorder: Recorder::start(sink, settings.spool),
            kind,
            closing: CancellationToken::new(),
        })
    }

    /// Makes the tables, as soon as the database answers, and tells from then on whether it does.
    pub(crate) fn watch(&self, health: Arc<Health>, metrics: Arc<Metrics>) {
        let kind = match self.kind {
            Kind::Postgres => "postgresql",
            Kind::Sqlite => "sqlite",
        };
        let (closing, journal) = (self.closing.clone(), self.journal.clone());
        let counting = reach::follow_recorder(self.recorder.clone(), Arc::clone(&metrics));
        let asking = reach::follow(journal, kind, health, metrics);
        tokio::spawn(async move {
            let both = async { tokio::join!(counting, asking) };
            closing.run_until_cancelled(both).await;
        });
    }

    /// Stores what waits in the queue, and takes away what is old, until `stop`.
    pub(crate) async fn tend(
        &self,
        settings: &JournalSettings,
        broker: &Broker,
        metrics: &Arc<Metrics>,
        stop: CancellationToken,
    ) {
        let retention = Retention {
            callbacks: settings.retention,
            bodies: settings.body_retention,
        };
        let retaining = dispatcher::retain(self.journal.clone(), retention, stop.clone());
        if self.kind == Kind::Sqlite {
            return retaining.await;
        }
        let (broker, metrics) = (broker.clone(), Arc::clone(metrics));
        let writer = Writer::new(broker, self.journal.clone(), metrics);
        tokio::join!(retaining, writer.run(stop));
    }

    /// Makes durable what was handed over, then lets the journal go.
    pub(crate) async fn close(&self) {
        self.recorder.close().await;
        self.closing.cancel();
        self.journal.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: (&str, &str) = ("JOURNAL__URL", "postgres://a:b@journal.example/ringback");
    const DIRECTORY: (&str, &str) = ("BROKER__DATA_DIR", "/var/lib/ringback");

    fn find(variables: &[(&str, &str)], otherwise: Option<&str>) -> Result<Option<Place>, String> {
        let variables = variables
            .iter()
            .map(|(key, value)| (format!("RINGBACK__{key}"), (*value).to_owned()));
        let settings = Settings::load(None, variables).unwrap();
        let otherwise = otherwise.map(Path::new);
        Place::find(&settings, otherwise).map_err(|error| error.to_string())
    }

    #[test]
    fn the_journal_lies_where_the_settings_say_or_else_where_the_role_does() {
        assert!(find(&[], None).unwrap().is_none());
        for otherwise in [None, Some("/tmp/dev")] {
            let Ok(Some(Place::Postgres(url))) = find(&[URL], otherwise) else {
                panic!("{otherwise:?}")
            };
            assert_eq!(url.expose_secret(), URL.1);
            let Ok(Some(Place::Directory(found))) = find(&[DIRECTORY], otherwise) else {
                panic!("{otherwise:?}")
            };
            assert_eq!(found, Path::new(DIRECTORY.1));
        }
        let Ok(Some(Place::Directory(found))) = find(&[], Some("/tmp/dev")) else {
            panic!("no place")
        };
        assert_eq!(found, Path::new("/tmp/dev"));
    }

    #[test]
    fn the_embedded_store_keeps_its_own_journal() {
        let refused = find(&[URL, DIRECTORY], None).unwrap_err();
        let begin = "journal.url (RINGBACK__JOURNAL__URL): the embedded store";
        assert!(refused.starts_with(begin), "{refused}");
    }
}
