//! Who a process is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One running process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceReport {
    /// Drawn at its start.
    pub instance: Uuid,
    /// Its role, for instance `dispatcher`.
    pub role: String,
    /// The version of the program.
    pub version: String,
    /// The name of its machine (in a container, the container's).
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, Unix ms.
    pub started_at: u64,
    /// What its clock says when it answers, Unix ms.
    pub clock: u64,
    /// A hash of each section of its settings, without secrets and without the addresses of its
    /// listeners.
    pub settings: BTreeMap<String, String>,
    /// The last time it read its settings again. `None`: not since its start.
    pub reload: Option<LastReload>,
}

/// The last time a process read its settings again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastReload {
    /// Unix ms.
    pub at: u64,
    /// Why the new settings were refused. `None`: they are in force.
    pub refused: Option<String>,
    /// The changed keys that need a restart.
    pub restart: Vec<String>,
}

impl InstanceReport {
    /// The process for people: `dispatcher host:4711`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}:{}", self.role, self.host, self.pid)
    }
}
