//! Why settings cannot be used.

use std::fmt;

use super::variable::{NamedSection, variable_of};

/// Why the settings cannot be used. Each is one sentence that never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's error.
        reason: String,
    },
    /// The file is not TOML. The offending line is not shown: it may hold a secret.
    #[error("the settings file {path} is not TOML: {reason}")]
    NotToml {
        /// The file.
        path: String,
        /// Where and why.
        reason: String,
    },
    /// A key is unknown, or its value is bad.
    #[error("{place}: {reason}")]
    Refused {
        /// The environment variable, or the key and its file.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that the part of the program using it has refused after loading.
    /// [`ConfigError::with_variable`] adds its environment variable.
    #[error("{key}: {reason}")]
    Invalid {
        /// The dotted key.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
}

impl ConfigError {
    /// Refuses a value that was loaded.
    ///
    /// `key` is dotted (`guard.allow`); `reason` completes the sentence and shows no secret.
    pub fn refused(key: &str, reason: impl fmt::Display) -> Self {
        Self::Invalid {
            key: key.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Names the environment variable beside the key, for people who set it there.
    #[must_use]
    pub fn with_variable(self, named: &[NamedSection]) -> Self {
        match self {
            Self::Invalid { key, reason } => Self::Refused {
                place: format!("{key} ({})", variable_of(&key, named)),
                reason,
            },
            located @ (Self::Unreadable { .. } | Self::NotToml { .. } | Self::Refused { .. }) => {
                located
            }
        }
    }
}
