//! Pauses: what is not called until it is resumed, and the switches that stop everything.

use std::fmt;
use std::str::FromStr;

/// What the name of a pause refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PauseKind {
    /// A registered callee, by its number.
    Callee,
    /// Scheme, host and port: `https://host:443`.
    Target,
    /// The callbacks of an app, by its `app_id`.
    App,
    /// The callbacks of a message type.
    MessageType,
    /// The switch that stops intake everywhere. Its name is [`PauseKind::EVERYTHING`].
    Intake,
    /// The switch that stops deliveries everywhere. Its name is [`PauseKind::EVERYTHING`].
    Deliveries,
}

impl PauseKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Callee,
        Self::Target,
        Self::App,
        Self::MessageType,
        Self::Intake,
        Self::Deliveries,
    ];

    /// The name of a switch, which concerns everything.
    pub const EVERYTHING: &str = "*";

    /// The word in tables and responses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Callee => "callee",
            Self::Target => "target",
            Self::App => "app",
            Self::MessageType => "message_type",
            Self::Intake => "intake",
            Self::Deliveries => "deliveries",
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
        let mut kinds = Self::ALL.into_iter();
        kinds
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown pause kind {text:?}"))
    }
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What `name` refers to.
    pub kind: PauseKind,
    /// The callee's number, the target, the app, the message type, or [`PauseKind::EVERYTHING`].
    pub name: String,
    /// The name of a person or a system.
    pub paused_by: String,
    /// Unix ms.
    pub paused_at: u64,
    /// The reason that was given.
    pub reason: String,
}
