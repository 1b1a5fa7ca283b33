//! Opens the recorder's spool, and shows in the metrics what is in it.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use journal::{Recorder, Spool};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use runtime::ConfigError;
use runtime::metrics::{Registry, add};

const SHOW_INTERVAL: Duration = Duration::from_secs(1);

/// Metrics of the spool. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SpoolMetrics {
    records: Gauge,
    bytes: Gauge,
    undecodable: Gauge,
    unread_files: Gauge,
    failures: Counter,
}

impl SpoolMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        Self {
            records: add(
                registry,
                "journal_spooled_records",
                "Records in local files because they cannot be written to the journal",
                Gauge::default(),
            ),
            bytes: add(
                registry,
                "journal_spool_bytes",
                "Bytes of the local files with records",
                Gauge::default(),
            ),
            undecodable: add(
                registry,
                "journal_spool_undecodable_records",
                "Records in local files that this version cannot decode, kept for another one",
                Gauge::default(),
            ),
            unread_files: add(
                registry,
                "journal_spool_unread_files",
                "Local files and directories of ended processes that cannot be read",
                Gauge::default(),
            ),
            failures: add(
                registry,
                "journal_spool_failures",
                "Batches of records that could not be spooled: full, or the disk fails",
                Counter::default(),
            ),
        }
    }

    fn show(&self, recorder: &Recorder) {
        let Some(spool) = recorder.spool() else {
            return;
        };
        let content = *spool.content().borrow();
        let shown = |value| i64::try_from(value).unwrap_or(i64::MAX);
        self.records.set(shown(content.records));
        self.bytes.set(shown(content.bytes));
        self.undecodable.set(shown(content.undecodable));
        self.unread_files.set(shown(content.unread_files));
        let known = self.failures.get();
        self.failures
            .inc_by(recorder.spool_failures().saturating_sub(known));
    }
}

/// Opens the spool. `None` if its disk fails: the gateway works without it, and says so.
///
/// # Errors
/// When the directory is not one, or nothing can ever be created there.
pub(super) fn open_spool(directory: &Path) -> Result<Option<Spool>, ConfigError> {
    match Spool::open(directory) {
        Ok(spool) => Ok(Some(spool)),
        Err(error) => match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::NotFound => {
                let directory = directory.display();
                let reason = format!("{directory} cannot be written to: {error}");
                Err(ConfigError::refused("journal.spool_dir", reason))
            }
            _ => {
                tracing::error!(
                    directory = %directory.display(),
                    %error,
                    "records cannot be spooled until a restart: a killed process loses those that \
                     could not be written"
                );
                Ok(None)
            }
        },
    }
}

/// Shows what is in the spool.
pub(super) async fn watch_spool(recorder: Recorder, metrics: SpoolMetrics) {
    let mut interval = tokio::time::interval(SHOW_INTERVAL);
    loop {
        interval.tick().await;
        metrics.show(&recorder);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use journal::{BatchSpan, Record, RecordSink, RecorderOptions};
    use runtime::MetricsRegistry;
    use uuid::Uuid;

    use super::super::fixture::record;
    use super::*;

    struct Broken;

    #[async_trait]
    impl RecordSink for Broken {
        async fn put(&self, _: &[Record], _: Option<&BatchSpan>) -> Result<(), String> {
            Err("broken".to_owned())
        }
    }

    #[tokio::test]
    async fn what_is_spooled_is_on_the_page() {
        let directory = std::env::temp_dir().join(format!("ringback-{}", Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        let options = RecorderOptions {
            capacity: 1_000,
            accepts: false,
            heartbeat: Duration::from_secs(60),
        };
        // Of an ended process, and of a newer version.
        let ended = directory.join(format!("recorder-{}", Uuid::now_v7()));
        std::fs::create_dir(&ended).unwrap();
        std::fs::write(ended.join("records-00000000.spool"), "RBSPOOL9").unwrap();
        let spool = open_spool(&directory).unwrap();
        let recorder = Recorder::start_with(Arc::new(Broken), options, spool);
        recorder.record_durably(record()).await.unwrap();
        let registry = MetricsRegistry::new();
        let metrics = registry.add(SpoolMetrics::register);
        metrics.show(&recorder);
        let page = registry.encode();
        for line in [
            "ringback_journal_spooled_records 1\n",
            "ringback_journal_spool_failures_total 0\n",
            "ringback_journal_spool_undecodable_records 0\n",
            "ringback_journal_spool_unread_files 1\n",
        ] {
            assert!(page.contains(line), "{page}");
        }
        assert!(!page.contains("ringback_journal_spool_bytes 0\n"), "{page}");
        recorder.close().await;
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_refused_with_its_key() {
        let file = std::env::temp_dir().join(format!("ringback-{}", Uuid::now_v7()));
        std::fs::write(&file, "").unwrap();
        for directory in [file.clone(), file.join("below")] {
            let refused = open_spool(&directory).unwrap_err().to_string();
            let begin = format!("journal.spool_dir: {} cannot be", directory.display());
            assert!(refused.starts_with(&begin), "{refused}");
        }
        std::fs::remove_file(file).unwrap();
    }
}
