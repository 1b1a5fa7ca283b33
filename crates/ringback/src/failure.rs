//! Why did a role or a command fail, in one sentence?

use std::error::Error;
use std::io;

use boot::SettingsError;
use boot::telemetry::TelemetryError;

/// Why the process ends with exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Logging could not start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The system refused something: a port, a signal, an output.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The dispatcher cannot be built.
    #[error(transparent)]
    Dispatcher(#[from] dispatcher::StartError),
    /// What a command found, in words.
    #[error("{0}")]
    Found(String),
}

impl Failure {
    /// The failure and its causes as one sentence.
    pub fn sentence(&self) -> String {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.fold(self.to_string(), |sentence, cause| {
            format!("{sentence}: {cause}")
        })
    }
}
