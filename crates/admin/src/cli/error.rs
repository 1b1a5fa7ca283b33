//! Why a command failed.

use std::io;

/// Why a command failed, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The system: a client that cannot be built, an output that cannot be written.
    #[error(transparent)]
    System(#[from] io::Error),
    /// Everything else.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    pub(super) fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }
}
