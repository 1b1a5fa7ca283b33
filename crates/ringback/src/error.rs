//! Why a role or a command failed.

use std::error::Error;
use std::io;

use dispatcher::StartError;
use runtime::telemetry::TelemetryError;
use runtime::{Config as _, ConfigError};

use crate::app::settings::Settings;

/// Why the process ends with exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(ConfigError),
    /// Logging could not start.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The system refused something, such as a port or an output.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The dispatcher cannot be built.
    #[error(transparent)]
    Dispatcher(StartError),
    /// An operators' command failed.
    #[error(transparent)]
    Admin(#[from] admin::cli::CliError),
    /// The result of the command, such as a topology with faults or an unhealthy process.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    /// The error and its causes as one sentence.
    pub fn sentence(&self) -> String {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.fold(self.to_string(), |sentence, cause| {
            format!("{sentence}: {cause}")
        })
    }
}

impl From<ConfigError> for CommandError {
    /// Names the environment variable as well: a value may come from there.
    fn from(error: ConfigError) -> Self {
        Self::Config(error.with_variable(Settings::NAMED_SECTIONS))
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::Resolver(_) => Self::Dispatcher(error),
        }
    }
}
