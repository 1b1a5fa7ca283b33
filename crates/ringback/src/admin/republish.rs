//! How does a callback that was taken out of the dead letters get back into the queue?

use std::time::Duration;

use broker::Broker;
use contract::{Message, Unreadable};
use futures_util::{StreamExt as _, stream};
use journal::{Journal, Replay};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::moment;

/// How many publishes wait for their confirm at a time.
const AT_ONCE: usize = 64;
/// Replays of one request come out of the queue spread over this many seconds.
const SPREAD_SECONDS: u64 = 3;
/// A replay that is not told to be published after this time has lost its publisher.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// How often forgotten replays are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How many of them are taken up at a time.
const TAKEN_UP: u32 = 500;

/// What came of some replays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// In the queue, confirmed.
    pub(super) done: usize,
    /// Taken and not confirmed: published again by itself, in about a minute.
    pub(super) pending: usize,
}

/// The message of a replay: a new life with the old identity. A replay is a new wish: what has
/// expired would expire again at once.
pub(super) fn renewed(replay: &Replay) -> Result<Message, Unreadable> {
    let mut message = Message::decode(&replay.dead_letter)?;
    message.generation = replay.generation;
    message.attempt = 1;
    message.parked = 0;
    message.not_before = None;
    message.reply_to = None;
    message.options.expire_seconds = None;
    Ok(message)
}

/// Publishes replays and tells the journal which of them are in the queue.
pub(super) async fn publish(broker: &Broker, journal: &Journal, replays: &[Replay]) -> Published {
    let publishing = (0..).zip(replays).map(|(place, replay)| async move {
        let delay = Duration::from_secs(1 + place % SPREAD_SECONDS);
        let sent = publish_one(broker, replay, delay).await;
        sent.then_some((replay.request_id, replay.generation))
    });
    let publishing: Vec<_> = publishing.collect();
    let confirmed: Vec<Option<(Uuid, u32)>> = stream::iter(publishing)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let done: Vec<(Uuid, u32)> = confirmed.into_iter().flatten().collect();
    if !done.is_empty()
        && let Err(error) = journal.replayed(&done).await
    {
        // They are in the queue. Published once more, they bear the same generation and id.
        tracing::warn!(%error, count = done.len(), "replays are published, but not noted so");
    }
    Published {
        done: done.len(),
        pending: replays.len() - done.len(),
    }
}

async fn publish_one(broker: &Broker, replay: &Replay, delay: Duration) -> bool {
    let request_id = replay.request_id;
    let message = match renewed(replay) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(%request_id, %error, "a dead letter in the journal is unreadable");
            return false;
        }
    };
    let message = dispatcher::same_again(&message, message.encode().into());
    match broker.publish_later(message, delay).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%request_id, %error, "a replay is not published yet");
            false
        }
    }
}

/// Takes up, until `stop`, replays whose publisher died: the journal hands each to one asker.
pub(super) async fn take_up(broker: Broker, journal: Journal, stop: CancellationToken) {
    loop {
        let again = tokio::time::sleep(LOOK_EVERY);
        if stop.run_until_cancelled(again).await.is_none() {
            return;
        }
        take_up_once(&broker, &journal, moment::now()).await;
    }
}

async fn take_up_once(broker: &Broker, journal: &Journal, now: u64) -> Published {
    let forgotten_ms = u64::try_from(FORGOTTEN_AFTER.as_millis()).unwrap_or(u64::MAX);
    let before = now.saturating_sub(forgotten_ms);
    let replays = match journal.unfinished_replays(before, TAKEN_UP, now).await {
        Ok(replays) => replays,
        Err(error) => {
            tracing::debug!(%error, "unfinished replays cannot be looked for now");
            return Published::default();
        }
    };
    if replays.is_empty() {
        return Published::default();
    }
    let published = publish(broker, journal, &replays).await;
    let Published { done, pending } = published;
    tracing::warn!(
        done,
        pending,
        "replays that were left half-way are taken up"
    );
    published
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::admin::tests::{Ground, letter};

    #[test]
    fn a_replay_is_a_new_life_with_the_old_identity() {
        let mut old = letter("demo");
        old.attempt = 9;
        old.parked = 2;
        old.not_before = Some(1);
        old.options.expire_seconds = Some(1);
        old.options.max_attempts = Some(2);
        let replay = Replay {
            request_id: old.request_id,
            generation: 3,
            dead_letter: old.encode().into(),
        };
        let new = renewed(&replay).unwrap();
        assert_eq!((new.generation, new.attempt, new.parked), (3, 1, 0));
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
        assert!(renewed(&broken).is_err());
    }

    #[tokio::test]
    async fn a_replay_whose_publisher_died_is_taken_up_after_a_minute() {
        let ground = Ground::new().await;
        let dead = ground.give_up("demo", "exhausted").await;
        let (broker, journal) = (&ground.broker, &ground.journal);
        let taken = journal.take_replay(dead.request_id, moment::now()).await;
        assert!(matches!(taken, Ok(journal::Mended::Replay(_))));
        let soon = take_up_once(broker, journal, moment::now()).await;
        assert_eq!(soon, Published::default(), "its publisher may be at it");
        let later = moment::now() + 61_000;
        let taken_up = take_up_once(broker, journal, later).await;
        assert_eq!((taken_up.done, taken_up.pending), (1, 0));
        let queued = ground.next(broker::Lane::Retry).await;
        assert_eq!((queued.generation, queued.attempt), (1, 1));
        let again = take_up_once(broker, journal, later + 61_000).await;
        assert_eq!(again, Published::default(), "it is noted as published");
        ground.end().await;
    }
}
