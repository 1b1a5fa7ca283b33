//! When may a dispatcher pause a target by itself?

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{read, show};

/// Pauses that nobody asked for. Off as shipped.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoPauseSettings {
    /// Whether an answer 410 pauses the callee, or the whole target of a caller's URL.
    #[serde(deserialize_with = "read::flag")]
    pub on_gone: bool,
    /// Pauses what has failed for so long without one sign of life. Zero: never.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub after: Duration,
}
