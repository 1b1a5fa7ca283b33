//! Which guard judges the URLs of this app?

use std::collections::HashMap;
use std::sync::Arc;

use super::Guard;

/// The guard for all, and those of the apps that have one of their own.
#[derive(Debug, Clone, Default)]
pub struct Guards {
    all: Arc<Guard>,
    apps: HashMap<String, Arc<Guard>>,
}

impl Guards {
    /// One guard for all but the named apps.
    #[must_use]
    pub fn new(all: Guard, apps: impl IntoIterator<Item = (String, Guard)>) -> Self {
        let apps = apps.into_iter();
        Self {
            all: Arc::new(all),
            apps: apps.map(|(id, guard)| (id, Arc::new(guard))).collect(),
        }
    }

    /// The guard for the URLs of this app.
    #[must_use]
    pub fn of(&self, app_id: &str) -> &Arc<Guard> {
        self.apps.get(app_id).unwrap_or(&self.all)
    }

    /// The guard of whoever has none of its own.
    #[must_use]
    pub fn all(&self) -> &Arc<Guard> {
        &self.all
    }

    /// The apps that have one of their own.
    pub fn apps(&self) -> impl Iterator<Item = (&str, &Arc<Guard>)> {
        self.apps.iter().map(|(id, guard)| (id.as_str(), guard))
    }
}
