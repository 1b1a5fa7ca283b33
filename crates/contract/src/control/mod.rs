//! What the processes of one gateway ask and tell each other.
//!
//! JSON, best effort: a process ignores what it does not understand, and fields that it does not
//! know. Nothing durable depends on it, and commands carry no state.
//!
//! - `instance.rs`: who a process is. `target.rs`, `app.rs`: what it sees. `attempt.rs`: attempts as
//!   they end. `held.rs`: whether it holds a callback.

mod app;
mod attempt;
mod held;
mod instance;
mod target;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::json::to_json;

pub use app::{AppFigures, AppsSeen};
pub use attempt::{AttemptSeen, AttemptsAsked, AttemptsSeen, MAX_ATTEMPTS_SEEN};
pub use held::HeldCallback;
pub use instance::{InstanceReport, LastReload};
pub use target::{CertificateSeen, LastErrorSeen, OutcomeFigures, TargetFigures, TargetsSeen};

/// How many targets, and how many apps, one answer holds: those with the most.
pub const MAX_LISTED: usize = 200;

/// A message between processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ControlMessage {
    /// To all.
    Question(ControlQuestion),
    /// To the one that asked.
    Answer(ControlAnswer),
    /// To all.
    Command(ControlCommand),
}

/// A question to all processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlQuestion {
    /// Repeated by the answers.
    pub question_id: Uuid,
    /// The instance that asks.
    pub from: Uuid,
    /// Where the answers go.
    pub reply_to: String,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Who are you?
    Identity,
    /// Which targets do you see?
    Targets,
    /// Which apps do you see?
    Apps,
    /// Do you hold this callback?
    Held(Uuid),
    /// Call this callee or target at once, because its owner says that it is back: its number, or
    /// scheme, host and port. Lost questions do no harm: breakers probe by themselves later.
    ProbeNow(String),
    /// Which attempts have ended? A process remembers them while it is asked from time to time: the
    /// first answer is empty.
    Attempts(AttemptsAsked),
}

/// The answer of one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlAnswer {
    /// That of the question.
    pub question_id: Uuid,
    /// The instance that answers.
    pub from: Uuid,
    /// What was asked for.
    pub body: ControlAnswerBody,
}

/// What a process answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlAnswerBody {
    /// To [`Ask::Identity`].
    Identity(Box<InstanceReport>),
    /// To [`Ask::Targets`].
    Targets(TargetsSeen),
    /// To [`Ask::Apps`].
    Apps(AppsSeen),
    /// To [`Ask::Held`]. `None`: it does not hold it.
    Held(Option<HeldCallback>),
    /// To [`Ask::ProbeNow`]: for how many apps a `Retry-After` or an open breaker gave way.
    Probed(u64),
    /// To [`Ask::Attempts`].
    Attempts(AttemptsSeen),
    /// Unasked: it is stopping, and will not answer again.
    Stopping,
}

/// A command to all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlCommand {
    /// The instance that sends it.
    pub from: Uuid,
    /// What is to be done.
    pub command: Command,
}

/// What is to be done. It carries no state: a process reads the journal, or its files, as it does from
/// time to time anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Read the pauses again.
    PausesChanged,
    /// Read the settings again.
    Reload,
    /// Look again for what is due.
    Wake,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PausesChanged, Self::Reload, Self::Wake];
}

impl ControlMessage {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        to_json(self, 256).into()
    }

    /// The message in these bytes. `None`: this version does not understand it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(message: &ControlMessage, json: &str) {
        let bytes = message.encode();
        assert_eq!(std::str::from_utf8(&bytes), Ok(json));
        assert_eq!(ControlMessage::decode(&bytes).as_ref(), Some(message));
    }

    #[test]
    fn messages_are_written_as_they_are_read() {
        let (question_id, from) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (one, two) = (question_id.to_string(), from.to_string());
        round_trip(
            &ControlMessage::Question(ControlQuestion {
                question_id,
                from,
                reply_to: "r".to_owned(),
                ask: Ask::Identity,
            }),
            &format!(
                r#"{{"kind":"question","question_id":"{one}","from":"{two}","reply_to":"r","ask":"identity"}}"#
            ),
        );
        round_trip(
            &ControlMessage::Answer(ControlAnswer {
                question_id,
                from,
                body: ControlAnswerBody::Held(None),
            }),
            &format!(
                r#"{{"kind":"answer","question_id":"{one}","from":"{two}","body":{{"held":null}}}}"#
            ),
        );
        round_trip(
            &ControlMessage::Command(ControlCommand {
                from,
                command: Command::PausesChanged,
            }),
            &format!(r#"{{"kind":"command","from":"{two}","command":"pauses_changed"}}"#),
        );
    }

    #[test]
    fn what_another_version_says_is_read_as_far_as_it_is_understood() {
        let id = Uuid::nil();
        let newer = format!(r#"{{"kind":"command","from":"{id}","command":"wake","why":"x"}}"#);
        assert!(ControlMessage::decode(newer.as_bytes()).is_some());
        for unknown in [
            format!(r#"{{"kind":"command","from":"{id}","command":"dance"}}"#),
            r#"{"kind":"rumour"}"#.to_owned(),
            "[".to_owned(),
        ] {
            assert_eq!(
                ControlMessage::decode(unknown.as_bytes()),
                None,
                "{unknown}"
            );
        }
        let old = r#"{"targets":[{"target":"https://h:443"}]}"#;
        let seen: TargetsSeen = serde_json::from_str(old).unwrap();
        assert_eq!(seen.targets[0].target.as_deref(), Some("https://h:443"));
    }
}
