//! The roles of the binary.

use std::fmt;

use crate::error::CommandError;

/// What a long-running process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessRole {
    Ingress,
    Dispatcher,
    Recorder,
    /// The operators' API alone.
    Admin,
    /// Ingress and dispatcher on the embedded store.
    Serve,
    /// The same with a practice callee, for trying it out.
    Dev,
}

impl ProcessRole {
    /// The command that starts it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Dispatcher => "dispatcher",
            Self::Recorder => "recorder",
            Self::Admin => "admin",
            Self::Serve => "serve",
            Self::Dev => "dev",
        }
    }

    /// Whether it takes callbacks from callers.
    pub(crate) const fn has_ingress(self) -> bool {
        match self {
            Self::Ingress | Self::Serve | Self::Dev => true,
            Self::Dispatcher | Self::Recorder | Self::Admin => false,
        }
    }

    /// Whether it makes attempts.
    pub(crate) const fn dispatches(self) -> bool {
        match self {
            Self::Dispatcher | Self::Serve | Self::Dev => true,
            Self::Ingress | Self::Recorder | Self::Admin => false,
        }
    }

    /// Whether it stores records from the journal's queue, if there is one.
    pub(crate) const fn stores_records(self) -> bool {
        match self {
            Self::Dispatcher | Self::Recorder | Self::Serve | Self::Dev => true,
            Self::Ingress | Self::Admin => false,
        }
    }

    /// Whether SIGHUP reloads the settings. `dev` stops instead: its terminal was closed.
    pub(crate) const fn reloads_on_sighup(self) -> bool {
        match self {
            Self::Ingress | Self::Dispatcher | Self::Recorder | Self::Admin | Self::Serve => true,
            Self::Dev => false,
        }
    }

    /// The result of a role that ended: a success only if it was asked to stop.
    ///
    /// # Errors
    /// When it was not.
    pub(crate) fn ended(self, was_stopped: bool) -> Result<(), CommandError> {
        let role = self.as_str();
        if !was_stopped {
            return Err(CommandError::Failed(format!("{role} ended unexpectedly")));
        }
        tracing::info!(role, "stopped");
        Ok(())
    }
}

impl fmt::Display for ProcessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
