//! Callbacks that have ended, taken into their next generation.

use std::time::Duration;

use contract::{Message, MessageError};
use journal::{Journal, JournalError, Replay};
use uuid::Uuid;

use super::{MAX_RESUMED, Taken};

impl Taken for Replay {
    const NAME: &'static str = "replays";

    /// They have ended.
    const MAY_WAIT: bool = false;

    /// Id and generation.
    type Mark = (Uuid, u32);

    fn request_id(&self) -> Uuid {
        self.request_id
    }

    fn mark(&self) -> Self::Mark {
        (self.request_id, self.generation)
    }

    fn message(&self, _: u64) -> Result<Message, MessageError> {
        next_generation(self)
    }

    fn delay(&self, spread: Duration, _: u64) -> Duration {
        Duration::from_secs(1) + spread
    }

    async fn confirm(journal: &Journal, published: &[Self::Mark]) -> Result<(), JournalError> {
        journal.confirm_replays(published).await
    }

    async fn take_interrupted(
        journal: &Journal,
        before: u64,
        now: u64,
    ) -> Result<Vec<Self>, JournalError> {
        journal.unfinished_replays(before, MAX_RESUMED, now).await
    }
}

/// The message of the next generation. It does not expire: an expired callback would expire again at
/// once.
fn next_generation(replay: &Replay) -> Result<Message, MessageError> {
    let mut message = Message::decode(&replay.dead_letter)?;
    message.generation = replay.generation;
    message.attempt = 1;
    message.deferrals = 0;
    message.hold = 0;
    (message.not_before, message.scheduled_at) = (None, None);
    message.reply_to = None;
    message.options.expire_seconds = None;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use runtime::clock::now_ms;

    use super::*;
    use crate::api::republish::{Published, resume_once};
    use crate::api::tests::{ApiFixture, message};

    #[test]
    fn a_replay_starts_over_with_the_same_identity() {
        let mut old = message("demo");
        old.attempt = 9;
        old.deferrals = 2;
        old.not_before = Some(1);
        old.options.expire_seconds = Some(1);
        old.options.max_attempts = Some(2);
        let replay = Replay {
            request_id: old.request_id,
            generation: 3,
            dead_letter: old.encode().into(),
        };
        let new = next_generation(&replay).unwrap();
        assert_eq!((new.generation, new.attempt, new.deferrals), (3, 1, 0));
        assert_eq!((new.not_before, new.options.expire_seconds), (None, None));
        assert_eq!(new.options.max_attempts, Some(2));
        assert_eq!(new.request_id, old.request_id);
        assert_eq!(new.accepted_at, old.accepted_at);
        assert_eq!(new.history, old.history);
        assert_eq!(new.request_message, old.request_message);
        let broken = Replay {
            dead_letter: Bytes::from_static(b"{}"),
            ..replay
        };
        assert!(next_generation(&broken).is_err());
    }

    #[test]
    fn a_replay_keeps_the_keys_that_this_version_does_not_know() {
        const NEWER: &[u8] =
            include_bytes!("../../../../contract/golden/message-v2-unknown-keys.json");
        let dead_letter = Bytes::from_static(NEWER);
        let old = Message::decode(&dead_letter).unwrap();
        assert!(!old.unknown.is_empty() && !old.options.unknown.is_empty());
        let replay = Replay {
            request_id: old.request_id,
            generation: 1,
            dead_letter,
        };
        let new = next_generation(&replay).unwrap();
        let read_again = Message::decode(&new.encode().into()).unwrap();
        for new in [new, read_again] {
            assert_eq!(new.generation, 1);
            assert_eq!(new.unknown, old.unknown);
            assert_eq!(new.options, old.options);
            assert_eq!(new.history, old.history);
        }
    }

    #[tokio::test]
    async fn an_interrupted_replay_is_resumed_after_a_minute() {
        let fixture = ApiFixture::new().await;
        let dead = fixture.dead_letter("demo", "exhausted").await;
        let (broker, journal) = (&fixture.broker, &fixture.journal);
        let taken = journal
            .take_replay(dead.request_id, journal::Replayable::Ended, now_ms())
            .await;
        assert!(matches!(taken, Ok(journal::ReplayOutcome::Replay(_))));
        let soon = resume_once::<Replay>(broker, journal, now_ms()).await;
        assert_eq!(
            soon,
            Published::default(),
            "its publisher may still be at work"
        );
        let later = now_ms() + 61_000;
        let resumed = resume_once::<Replay>(broker, journal, later).await;
        assert_eq!((resumed.confirmed, resumed.pending), (1, 0));
        let queued = fixture.next(broker::Queue::Retry).await;
        assert_eq!((queued.generation, queued.attempt), (1, 1));
        let again = resume_once::<Replay>(broker, journal, later + 61_000).await;
        assert_eq!(again, Published::default(), "it is marked as published");
        fixture.close().await;
    }
}
