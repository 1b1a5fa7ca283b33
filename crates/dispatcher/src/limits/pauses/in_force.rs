//! The pauses in force as attempts ask for them: replaced as a whole, and read without a lock.

use super::key::{PauseKey, Switch};
use delivery::limits::LimitKey;
use std::collections::HashSet;
use std::sync::Arc;

/// The pauses in force.
#[derive(Debug, Default)]
pub(crate) struct PausesInForce {
    limits: HashSet<LimitKey>,
    apps: HashSet<Arc<str>>,
    message_types: HashSet<Arc<str>>,
    intake: bool,
    deliveries: bool,
}

/// How many pauses are in force, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PauseCounts {
    /// Callees and targets.
    pub targets: usize,
    /// Apps.
    pub apps: usize,
    /// Message types.
    pub message_types: usize,
    /// Whether intake is stopped.
    pub intake: bool,
    /// Whether deliveries are stopped.
    pub deliveries: bool,
}

impl PausesInForce {
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a PauseKey>) -> Self {
        let mut this = Self::default();
        for key in keys {
            match key {
                PauseKey::Limit(key) => {
                    this.limits.insert(key.clone());
                }
                PauseKey::App(app) => {
                    this.apps.insert(Arc::clone(app));
                }
                PauseKey::MessageType(message_type) => {
                    this.message_types.insert(Arc::clone(message_type));
                }
                PauseKey::Switch(Switch::Intake) => this.intake = true,
                PauseKey::Switch(Switch::Deliveries) => this.deliveries = true,
            }
        }
        this
    }

    pub(super) fn is_paused(&self, key: &LimitKey) -> bool {
        self.limits.contains(key)
    }

    /// Whether the callbacks of this app, or of this message type, are paused.
    pub(crate) fn covers(&self, app_id: &str, message_type: &str) -> bool {
        self.apps.contains(app_id) || self.message_types.contains(message_type)
    }

    /// Whether deliveries are stopped.
    pub(crate) fn deliveries_are_stopped(&self) -> bool {
        self.deliveries
    }

    pub(super) fn counts(&self) -> PauseCounts {
        PauseCounts {
            targets: self.limits.len(),
            apps: self.apps.len(),
            message_types: self.message_types.len(),
            intake: self.intake,
            deliveries: self.deliveries,
        }
    }
}
