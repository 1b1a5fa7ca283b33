//! Publishes replays to the queue, and resumes interrupted ones.

use std::time::Duration;

use broker::Broker;
use contract::{Message, MessageError};
use futures_util::{StreamExt as _, stream};
use journal::{Journal, Replay};
use runtime::clock::now_ms;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The maximum number of publishes that wait for their confirm.
const MAX_UNCONFIRMED: usize = 64;
/// The replays of one request leave the queue spread over this many seconds.
const SPREAD_SECONDS: u64 = 3;
/// A replay that is not marked as published after this time was interrupted.
const PUBLISHER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often interrupted replays are resumed.
const RESUME_INTERVAL: Duration = Duration::from_secs(30);
/// How many interrupted replays are resumed at a time.
const MAX_RESUMED: u32 = 500;

/// How many replays were published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::api) struct PublishedReplays {
    /// In the queue, confirmed.
    pub(in crate::api) confirmed: usize,
    /// Not confirmed: resumed in about a minute.
    pub(in crate::api) pending: usize,
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

/// Publishes replays, and marks those that were confirmed in the journal.
pub(in crate::api) async fn publish(
    broker: &Broker,
    journal: &Journal,
    replays: &[Replay],
) -> PublishedReplays {
    let publishing = (0..).zip(replays).map(|(index, replay)| async move {
        let delay = Duration::from_secs(1 + index % SPREAD_SECONDS);
        let confirmed = publish_one(broker, replay, delay).await;
        confirmed.then_some((replay.request_id, replay.generation))
    });
    let publishing: Vec<_> = publishing.collect();
    let confirmed: Vec<Option<(Uuid, u32)>> = stream::iter(publishing)
        .buffer_unordered(MAX_UNCONFIRMED)
        .collect()
        .await;
    let confirmed: Vec<(Uuid, u32)> = confirmed.into_iter().flatten().collect();
    if !confirmed.is_empty()
        && let Err(error) = journal.confirm_replays(&confirmed).await
    {
        // They may be published again. Copies with the same id and generation count once.
        let count = confirmed.len();
        tracing::warn!(%error, count, "replays are published, but not marked as published in the journal");
    }
    let pending = replays.len() - confirmed.len();
    if pending > 0 {
        tracing::warn!(
            count = pending,
            "replays are not published yet; they are resumed"
        );
    }
    PublishedReplays {
        confirmed: confirmed.len(),
        pending,
    }
}

async fn publish_one(broker: &Broker, replay: &Replay, delay: Duration) -> bool {
    let request_id = replay.request_id;
    let message = match next_generation(replay) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(%request_id, %error, "unreadable dead letter in the journal");
            return false;
        }
    };
    let message = dispatcher::to_broker_message(&message);
    match broker.publish_later(message, delay).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%request_id, %error, "replay not published yet");
            false
        }
    }
}

/// Resumes interrupted replays until `stop`. The journal hands each to one process.
pub(crate) async fn resume_interrupted_replays(
    broker: Broker,
    journal: Journal,
    stop: CancellationToken,
) {
    loop {
        let wait = tokio::time::sleep(RESUME_INTERVAL);
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
        resume_once(&broker, &journal, now_ms()).await;
    }
}

async fn resume_once(broker: &Broker, journal: &Journal, now: u64) -> PublishedReplays {
    let before = now.saturating_sub(contract::duration_ms(PUBLISHER_TIMEOUT));
    let replays = match journal.unfinished_replays(before, MAX_RESUMED, now).await {
        Ok(replays) => replays,
        Err(error) => {
            tracing::debug!(%error, "failed to query interrupted replays");
            return PublishedReplays::default();
        }
    };
    if replays.is_empty() {
        return PublishedReplays::default();
    }
    let published = publish(broker, journal, &replays).await;
    let PublishedReplays { confirmed, pending } = published;
    tracing::warn!(confirmed, pending, "interrupted replays resumed");
    published
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
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
        let taken = journal.take_replay(dead.request_id, now_ms()).await;
        assert!(matches!(taken, Ok(journal::ReplayOutcome::Replay(_))));
        let soon = resume_once(broker, journal, now_ms()).await;
        assert_eq!(
            soon,
            PublishedReplays::default(),
            "its publisher may still be at work"
        );
        let later = now_ms() + 61_000;
        let resumed = resume_once(broker, journal, later).await;
        assert_eq!((resumed.confirmed, resumed.pending), (1, 0));
        let queued = fixture.next(broker::Queue::Retry).await;
        assert_eq!((queued.generation, queued.attempt), (1, 1));
        let again = resume_once(broker, journal, later + 61_000).await;
        assert_eq!(
            again,
            PublishedReplays::default(),
            "it is marked as published"
        );
        fixture.close().await;
    }
}
