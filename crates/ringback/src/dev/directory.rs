//! Where does `ringback dev` keep its queue and its journal?

use std::fmt;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use boot::settings::Settings;
use broker::embedded;

use crate::failure::Failure;

/// The data directory of a `dev` process.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// Removed with this value.
    temporary: Option<PathBuf>,
    /// Where the journal lies, beside a RabbitMQ; held by this process.
    for_journal: Option<(PathBuf, File)>,
}

impl Directory {
    /// Chooses: the directory asked for, else the settings' places, else a temporary directory.
    pub(super) fn choose(settings: &mut Settings, asked: Option<PathBuf>) -> Result<Self, Failure> {
        let (rabbit, postgres) = (&settings.broker.url, &settings.journal.url);
        if rabbit.is_some() && postgres.is_some() {
            if asked.is_some() {
                let reason = "--data-dir is for the embedded store and its journal, but broker.url \
                              and journal.url name other places for both (leave it out)";
                return Err(Failure::Found(reason.to_owned()));
            }
            return Ok(Self::default());
        }
        let rabbit = rabbit.is_some();
        let mut chosen = Self::default();
        let settled = settings.broker.data_dir.clone().filter(|_| asked.is_none());
        let path = match asked.or(settled) {
            Some(path) => path,
            None => {
                let name = format!("ringback-dev-{}", std::process::id());
                let path = std::env::temp_dir().join(name);
                // A stranger's directory of that name could be a trap in a shared /tmp.
                DirBuilder::new().mode(0o700).create(&path)?;
                chosen.temporary = Some(path.clone());
                path
            }
        };
        if rabbit {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)?;
            let held = embedded::lock(&path).map_err(Failure::Found)?;
            chosen.for_journal = Some((path, held));
        } else {
            settings.broker.data_dir = Some(path);
        }
        Ok(chosen)
    }

    /// Where the journal lies if the settings do not say.
    pub(super) fn for_journal(&self) -> Option<&Path> {
        self.for_journal.as_ref().map(|(path, _)| path.as_path())
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.temporary.is_some() {
            f.write_str(" (removed at the end; --data-dir DIR keeps it)")?;
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary
            && let Err(error) = std::fs::remove_dir_all(path)
        {
            tracing::warn!(path = %path.display(), %error, "the temporary directory stays");
        }
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
    fn without_a_word_all_lies_in_a_directory_that_goes_with_the_process() {
        let mut settings = Settings::default();
        let directory = Directory::choose(&mut settings, None).unwrap();
        assert_eq!(directory.for_journal(), None); // It is where the queue is.
        let path = settings.broker.data_dir.unwrap();
        assert!(path.is_dir());
        assert!(directory.to_string().contains("--data-dir"));
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_given_is_used_and_kept() {
        let mut settings = Settings::default();
        let given = PathBuf::from("/somewhere");
        let directory = Directory::choose(&mut settings, Some(given.clone())).unwrap();
        assert_eq!(settings.broker.data_dir, Some(given));
        assert_eq!(directory.to_string(), "");
    }

    #[test]
    fn beside_a_rabbitmq_the_directory_is_the_journals() {
        let mut settings = with_rabbitmq();
        let given = std::env::temp_dir().join(format!("ringback-beside-{}", std::process::id()));
        let directory = Directory::choose(&mut settings, Some(given.clone())).unwrap();
        assert_eq!(settings.broker.data_dir, None);
        assert_eq!(directory.for_journal(), Some(&*given));
        let twice = Directory::choose(&mut settings, Some(given.clone())).unwrap_err();
        assert!(twice.sentence().contains("in use by another process"));
        drop(directory);
        assert!(given.is_dir());
        std::fs::remove_dir_all(&given).unwrap();
    }

    #[test]
    fn where_both_have_other_places_no_directory_is_needed_or_taken() {
        let mut settings = with_rabbitmq();
        settings.journal.url = Some(SecretString::from("postgres://127.0.0.1/ringback"));
        let directory = Directory::choose(&mut settings, None).unwrap();
        assert_eq!(directory.for_journal(), None);
        assert_eq!(settings.broker.data_dir, None);
        let mixed = Directory::choose(&mut settings, Some("/somewhere".into()));
        assert!(mixed.unwrap_err().sentence().contains("broker.url"));
    }
}
