//! The directory in which `ringback dev` keeps its queue and its journal.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use broker::embedded;

use super::temporary_dir::{self, TemporaryDir, sweep};
use crate::app::settings::Settings;
use crate::error::CommandError;

/// The data directory of a `dev` process.
#[derive(Debug, Default)]
pub(super) struct DataDir {
    /// Removed with this value.
    temporary: Option<TemporaryDir>,
    /// The journal's directory if the queue is in RabbitMQ; locked by this process.
    for_journal: Option<(PathBuf, File)>,
}

impl DataDir {
    /// Chooses the requested directory, else that of the settings, else a temporary one.
    pub(super) fn choose(
        settings: &mut Settings,
        requested: Option<PathBuf>,
    ) -> Result<Self, CommandError> {
        let (rabbitmq, postgres) = (&settings.broker.url, &settings.journal.url);
        if rabbitmq.is_some() && postgres.is_some() {
            if requested.is_some() {
                let reason = "--data-dir is for the embedded store and its journal, but broker.url \
                              and journal.url name other locations for both (leave it out)";
                return Err(CommandError::Failed(reason.to_owned()));
            }
            return Ok(Self::default());
        }
        let rabbitmq = rabbitmq.is_some();
        let mut chosen = Self::default();
        let configured = settings
            .broker
            .data_dir
            .clone()
            .filter(|_| requested.is_none());
        let path = match requested.or(configured) {
            Some(path) => path,
            None => {
                let parent = std::env::temp_dir();
                let created = TemporaryDir::create(&parent);
                let created = created
                    .map_err(|error| not_created(&temporary_dir::path_in(&parent), &error))?;
                let swept = sweep(&created);
                if swept > 0 {
                    tracing::info!(
                        directories = swept,
                        "removed what dead dev processes had left in {}",
                        parent.display()
                    );
                }
                let path = created.path.clone();
                chosen.temporary = Some(created);
                path
            }
        };
        let mut directory = DirBuilder::new();
        let created = directory.recursive(true).mode(0o700).create(&path);
        created.map_err(|error| not_created(&path, &error))?;
        if rabbitmq {
            let lock = embedded::lock_data_dir(&path).map_err(CommandError::Failed)?;
            chosen.for_journal = Some((path, lock));
        } else {
            settings.broker.data_dir = Some(path);
        }
        Ok(chosen)
    }

    /// The journal's directory if the settings name none.
    pub(super) fn for_journal(&self) -> Option<&Path> {
        self.for_journal.as_ref().map(|(path, _)| path.as_path())
    }
}

/// Names the directory, and how to choose another.
fn not_created(path: &Path, error: &io::Error) -> CommandError {
    let path = path.display();
    CommandError::Failed(format!(
        "the data directory {path} cannot be created: {error}; choose another one with --data-dir DIR, \
         or set TMPDIR to a directory that can be written"
    ))
}

/// A note on the directory, for the banner.
impl fmt::Display for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.temporary.is_some() {
            f.write_str(" (removed at the end; --data-dir DIR keeps it)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn with_rabbitmq() -> Settings {
        let mut settings = Settings::default();
        settings.broker.url = Some(SecretString::from("amqp://127.0.0.1"));
        settings
    }

    #[test]
    fn by_default_all_is_in_a_directory_that_is_removed_at_the_end() {
        let mut settings = Settings::default();
        let directory = DataDir::choose(&mut settings, None).unwrap();
        assert_eq!(directory.for_journal(), None); // It is where the queue is.
        let path = settings.broker.data_dir.unwrap();
        assert!(path.is_dir());
        assert!(directory.to_string().contains("--data-dir"));
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_requested_directory_is_used_and_kept() {
        let mut settings = Settings::default();
        let requested = PathBuf::from("/somewhere");
        let directory = DataDir::choose(&mut settings, Some(requested.clone())).unwrap();
        assert_eq!(settings.broker.data_dir, Some(requested));
        assert_eq!(directory.to_string(), "");
    }

    #[test]
    fn beside_a_rabbitmq_the_directory_is_for_the_journal() {
        let mut settings = with_rabbitmq();
        let requested =
            std::env::temp_dir().join(format!("ringback-beside-{}", std::process::id()));
        let directory = DataDir::choose(&mut settings, Some(requested.clone())).unwrap();
        assert_eq!(settings.broker.data_dir, None);
        assert_eq!(directory.for_journal(), Some(&*requested));
        let twice = DataDir::choose(&mut settings, Some(requested.clone())).unwrap_err();
        assert!(twice.sentence().contains("in use by another process"));
        drop(directory);
        assert!(requested.is_dir());
        std::fs::remove_dir_all(&requested).unwrap();
    }

    #[test]
    fn where_both_have_other_locations_a_directory_is_refused() {
        let mut settings = with_rabbitmq();
        settings.journal.url = Some(SecretString::from("postgres://127.0.0.1/ringback"));
        let directory = DataDir::choose(&mut settings, None).unwrap();
        assert_eq!(directory.for_journal(), None);
        assert_eq!(settings.broker.data_dir, None);
        let mixed = DataDir::choose(&mut settings, Some("/somewhere".into()));
        assert!(mixed.unwrap_err().sentence().contains("broker.url"));
    }
}
