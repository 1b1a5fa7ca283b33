//! What a pause stops.

use delivery::limits::LimitKey;
use journal::PauseKind;
use std::fmt;
use std::sync::Arc;

/// What a pause stops.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PauseKey {
    /// Calls to a callee, or to the target of callers' URLs.
    Limit(LimitKey),
    /// The callbacks of an app.
    App(Arc<str>),
    /// The callbacks of a message type.
    MessageType(Arc<str>),
    /// Everything of one kind, in every process.
    Switch(Switch),
}

/// A switch for everything of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Switch {
    /// New callbacks are refused.
    Intake,
    /// No attempt begins.
    Deliveries,
}

impl PauseKey {
    /// The key of a stored pause. `None`: this version cannot parse its target.
    pub(super) fn of(kind: PauseKind, name: &str) -> Option<Self> {
        Some(match kind {
            PauseKind::Callee => Self::Limit(LimitKey::Callee(name.into())),
            PauseKind::Target => Self::Limit(LimitKey::parse(name).ok()?),
            PauseKind::App => Self::App(name.into()),
            PauseKind::MessageType => Self::MessageType(name.into()),
            PauseKind::Intake => Self::Switch(Switch::Intake),
            PauseKind::Deliveries => Self::Switch(Switch::Deliveries),
        })
    }

    /// What its name refers to.
    pub fn kind(&self) -> PauseKind {
        match self {
            Self::Limit(LimitKey::Callee(_)) => PauseKind::Callee,
            Self::Limit(LimitKey::Target(_)) => PauseKind::Target,
            Self::App(_) => PauseKind::App,
            Self::MessageType(_) => PauseKind::MessageType,
            Self::Switch(Switch::Intake) => PauseKind::Intake,
            Self::Switch(Switch::Deliveries) => PauseKind::Deliveries,
        }
    }

    /// Its name in the journal.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Limit(key) => key.to_string(),
            Self::App(name) | Self::MessageType(name) => name.to_string(),
            Self::Switch(_) => PauseKind::EVERYTHING.to_owned(),
        }
    }
}

impl From<LimitKey> for PauseKey {
    fn from(key: LimitKey) -> Self {
        Self::Limit(key)
    }
}

impl fmt::Display for PauseKey {
    /// For people: `EO001`, `https://host:443`, `app crm`, `message type order.paid`, `intake`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(key) => key.fmt(f),
            Self::App(app) => write!(f, "app {app}"),
            Self::MessageType(message_type) => write!(f, "message type {message_type}"),
            Self::Switch(_) => self.kind().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_by_what_is_stored() {
        let target = LimitKey::parse("https://h.example/x").unwrap();
        for (key, shown) in [
            (PauseKey::from(target), "https://h.example:443"),
            (PauseKey::Limit(LimitKey::Callee("EO001".into())), "EO001"),
            (PauseKey::App("crm".into()), "app crm"),
            (PauseKey::MessageType("paid".into()), "message type paid"),
            (PauseKey::Switch(Switch::Intake), "intake"),
            (PauseKey::Switch(Switch::Deliveries), "deliveries"),
        ] {
            assert_eq!(PauseKey::of(key.kind(), &key.name()), Some(key.clone()));
            assert_eq!(key.to_string(), shown);
        }
    }
}
