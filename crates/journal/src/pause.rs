//! Who must not be called for now, and who said so?

use std::fmt;
use std::str::FromStr;

/// What kind of name a pause bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PauseKind {
    /// A registered callee, by its number.
    Callee,
    /// Scheme, host and port: `https://host:443`.
    Target,
}

impl PauseKind {
    /// A name for tables and answers.
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
            other => Err(format!("{other:?} is neither callee nor target")),
        }
    }
}

/// A callee or a target that is left alone until somebody resumes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What `name` is.
    pub kind: PauseKind,
    /// Which one.
    pub name: String,
    /// A person's or a system's name.
    pub who: String,
    /// Since when, Unix ms.
    pub at: u64,
    /// The person's reason.
    pub reason: String,
}
