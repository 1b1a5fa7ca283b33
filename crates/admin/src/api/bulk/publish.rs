//! Publishes callbacks that were taken for their next attempt, and resumes interrupted ones.

use std::time::Duration;

use broker::{Broker, PublishMark};
use contract::{Message, MessageError};
use futures_util::{StreamExt as _, stream};
use journal::{Journal, WaitingMessage};
use runtime::clock::now_ms;
use tokio_util::sync::CancellationToken;

/// The maximum number of publishes that wait for their confirm.
const MAX_UNCONFIRMED: usize = 64;
/// What one request takes leaves the queue spread over this many seconds.
const SPREAD_SECONDS: u64 = 3;
/// What is not marked as published after this time was interrupted.
const PUBLISHER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often interrupted publishes are resumed.
const RESUME_INTERVAL: Duration = Duration::from_secs(30);
/// How many are resumed at a time.
const MAX_RESUMED: u32 = 500;

/// How many were published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// In the queue, confirmed.
    pub(super) confirmed: u64,
    /// Not confirmed: resumed in about a minute.
    pub(super) pending: u64,
}

/// The message of the next attempt under its new hold.
fn next_hold(waiting: &WaitingMessage, now: u64) -> Result<Message, MessageError> {
    let mut message = Message::decode(&waiting.message)?;
    message.generation = waiting.generation;
    message.attempt = waiting.attempt;
    message.hold = waiting.hold;
    message.deferrals = 0;
    let later = waiting.due_at > now;
    message.not_before = later.then_some(waiting.due_at);
    message.scheduled_at = later.then_some(now);
    message.reply_to = None;
    Ok(message)
}

/// Publishes what was taken, and marks in the journal what was confirmed. Copies from before `mark`,
/// which was made before they were taken, are stale, and leave the queue where it can remove them.
pub(super) async fn publish(
    broker: &Broker,
    journal: &Journal,
    taken: &[WaitingMessage],
    mark: PublishMark,
) -> Published {
    let publishing = (0..).zip(taken).map(|(index, waiting)| async move {
        let id = waiting.request_id.hyphenated().to_string();
        broker.remove_waiting(id, mark).await;
        let confirmed = publish_one(broker, waiting, index).await;
        confirmed.then_some((waiting.request_id, waiting.generation, waiting.hold))
    });
    let publishing: Vec<_> = publishing.collect();
    let confirmed: Vec<_> = stream::iter(publishing)
        .buffer_unordered(MAX_UNCONFIRMED)
        .collect()
        .await;
    let confirmed: Vec<_> = confirmed.into_iter().flatten().collect();
    if !confirmed.is_empty()
        && let Err(error) = journal.confirm_retries(&confirmed).await
    {
        // They may be published again. Copies with the same id and hold count once.
        let count = confirmed.len();
        tracing::warn!(%error, count, "retries are published, but not marked as published in the journal");
    }
    let pending = taken.len() - confirmed.len();
    if pending > 0 {
        tracing::warn!(
            count = pending,
            "retries are not published yet; they are resumed"
        );
    }
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Published {
        confirmed: count(confirmed.len()),
        pending: count(pending),
    }
}

async fn publish_one(broker: &Broker, waiting: &WaitingMessage, index: u64) -> bool {
    let (request_id, now) = (waiting.request_id, now_ms());
    let message = match next_hold(waiting, now) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(%request_id, %error, "unreadable message in the journal");
            return false;
        }
    };
    let spread = Duration::from_secs(index % SPREAD_SECONDS);
    let due = Duration::from_millis(waiting.due_at.saturating_sub(now));
    let message = dispatcher::to_broker_message(&message);
    match broker.publish_later(message, due.max(spread)).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%request_id, %error, "retry not published yet");
            false
        }
    }
}

/// Resumes interrupted publishes until `stop`. The journal hands each to one process.
pub(crate) async fn resume_interrupted_retries(
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

async fn resume_once(broker: &Broker, journal: &Journal, now: u64) -> Published {
    let mark = broker.publish_mark();
    let before = now.saturating_sub(contract::duration_ms(PUBLISHER_TIMEOUT));
    let taken = match journal.unfinished_retries(before, MAX_RESUMED, now).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::debug!(%error, "failed to query interrupted retries");
            return Published::default();
        }
    };
    if taken.is_empty() {
        return Published::default();
    }
    let published = publish(broker, journal, &taken, mark).await;
    let Published { confirmed, pending } = published;
    tracing::warn!(confirmed, pending, "interrupted retries resumed");
    published
}

#[cfg(test)]
mod tests {
    use journal::{RecordedState, RetryOutcome};

    use super::*;
    use crate::api::tests::{ApiFixture, message, record};

    #[test]
    fn a_retry_keeps_its_identity_its_attempts_and_its_expiry() {
        let mut old = message("demo");
        old.attempt = 1;
        old.deferrals = 2;
        old.not_before = Some(1);
        old.options.expire_seconds = Some(60);
        let mut waiting = WaitingMessage {
            request_id: old.request_id,
            generation: 1,
            hold: 2,
            attempt: 4,
            due_at: 5_000,
            message: old.encode().into(),
        };
        let new = next_hold(&waiting, 5_000).unwrap();
        assert_eq!((new.generation, new.attempt, new.hold), (1, 4, 2));
        assert_eq!(
            (new.deferrals, new.not_before, new.scheduled_at),
            (0, None, None)
        );
        assert_eq!(new.options, old.options);
        assert_eq!(new.request_message, old.request_message);
        waiting.due_at = 6_000;
        let later = next_hold(&waiting, 5_000).unwrap();
        assert_eq!(
            (later.not_before, later.scheduled_at),
            (Some(6_000), Some(5_000))
        );
    }

    #[tokio::test]
    async fn an_interrupted_retry_is_resumed_after_a_minute() {
        let fixture = ApiFixture::new().await;
        let (broker, journal) = (&fixture.broker, &fixture.journal);
        let waiting = message("demo");
        let until = now_ms() + 3_600_000;
        let mut failed = record(
            &waiting,
            RecordedState::Retrying {
                next_attempt_at: until,
            },
        );
        failed.message = Some(waiting.encode().into());
        journal.record(&[failed]).await.unwrap();
        let taken = journal.take_retry(waiting.request_id, now_ms()).await;
        assert!(matches!(taken, Ok(RetryOutcome::Retry(_))));
        let soon = resume_once(broker, journal, now_ms()).await;
        assert_eq!(soon, Published::default(), "its publisher may be at work");
        let later = now_ms() + 61_000;
        let resumed = resume_once(broker, journal, later).await;
        assert_eq!((resumed.confirmed, resumed.pending), (1, 0));
        let queued = fixture.next(broker::Queue::Retry).await;
        assert_eq!((queued.generation, queued.hold), (0, 1));
        let again = resume_once(broker, journal, later + 61_000).await;
        assert_eq!(again, Published::default(), "it is marked as published");
        fixture.close().await;
    }
}
