//! Why can the settings not be used?

use std::fmt;

use super::load::variable_of;

/// Why the settings cannot be used. Each is one sentence that never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML. The offending line is not shown, because it may hold a secret.
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
}

impl SettingsError {
    /// Refuses a value that another crate has checked, naming both ways to set it.
    ///
    /// `key` is dotted (`guard.allow`); `reason` completes the sentence and shows no secret.
    pub fn refused(key: &str, reason: impl fmt::Display) -> Self {
        let variable = variable_of(key);
        Self::Refused {
            place: format!("{key} ({variable})"),
            reason: reason.to_string(),
        }
    }
}
