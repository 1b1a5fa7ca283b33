//! Pauses: callees and targets that are not called until they are resumed.

use std::fmt;
use std::str::FromStr;

/// What the name of a pause refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PauseKind {
    /// A registered callee, by its number.
    Callee,
    /// Scheme, host and port: `https://host:443`.
    Target,
}

impl PauseKind {
    /// The word in tables and responses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Callee => "callee",
            Self::Target => "target",
        }
    }
}

impl fmt::Display for PauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PauseKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "callee" => Ok(Self::Callee),
            "target" => Ok(Self::Target),
            other => Err(format!("unknown pause kind {other:?} (callee or target)")),
        }
    }
}

/// A paused callee or target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What `name` refers to.
    pub kind: PauseKind,
    /// The callee's number, or the target.
    pub name: String,
    /// The name of a person or a system.
    pub paused_by: String,
    /// Unix ms.
    pub paused_at: u64,
    /// The reason that was given.
    pub reason: String,
}
