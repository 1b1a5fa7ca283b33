//! The default guard, and the guards of apps that have their own.

use std::collections::HashMap;
use std::sync::Arc;

use super::policy::Guard;

/// The default guard, and the guards of apps that have their own.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    default: Arc<Guard>,
    apps: HashMap<String, Arc<Guard>>,
}

impl Guards {
    /// One guard for all apps except the named ones.
    #[must_use]
    pub fn new(default: Guard, apps: impl IntoIterator<Item = (String, Guard)>) -> Self {
        let apps = apps.into_iter();
        Self {
            default: Arc::new(default),
            apps: apps.map(|(id, guard)| (id, Arc::new(guard))).collect(),
        }
    }

    /// The guard for the URLs of this app.
    #[must_use]
    pub fn for_app(&self, app_id: &str) -> &Arc<Guard> {
        self.apps.get(app_id).unwrap_or(&self.default)
    }

    /// The apps that have their own guard.
    pub fn apps(&self) -> impl Iterator<Item = (&str, &Arc<Guard>)> {
        self.apps.iter().map(|(id, guard)| (id.as_str(), guard))
    }
}
