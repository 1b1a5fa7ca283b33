//! Publishes callbacks that the journal has given out, marks there what the broker has confirmed, and
//! resumes what was interrupted.
//!
//! - `retry.rs`: what waits, for its next attempt. `replay.rs`: what has ended, for its next generation.

mod replay;
mod retry;

use std::future::Future;
use std::time::Duration;

use broker::{Broker, PublishMark};
use contract::{Message, MessageError};
use futures_util::{StreamExt as _, stream};
use journal::{Journal, JournalError, Replay, WaitingMessage};
use runtime::clock::now_ms;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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

/// A callback that the journal has given out for publishing. Until it is marked as published, the
/// journal gives it out again after a while.
pub(super) trait Taken: Sized + Send + Sync {
    /// What they are called in the log.
    const NAME: &'static str;

    /// Whether older copies may wait in the queues.
    const MAY_WAIT: bool;

    /// What identifies a published one in the journal.
    type Mark: Send + Sync;

    fn request_id(&self) -> Uuid;

    fn mark(&self) -> Self::Mark;

    /// The message to be published.
    ///
    /// # Errors
    /// When that of the journal cannot be decoded.
    fn message(&self, now: u64) -> Result<Message, MessageError>;

    /// In which time it is due. `spread`: what keeps those of one request apart.
    fn delay(&self, spread: Duration, now: u64) -> Duration;

    /// Marks those as published that the broker has confirmed.
    fn confirm(
        journal: &Journal,
        published: &[Self::Mark],
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Takes those again that were taken before `before`, Unix ms, and not marked.
    fn take_interrupted(
        journal: &Journal,
        before: u64,
        now: u64,
    ) -> impl Future<Output = Result<Vec<Self>, JournalError>> + Send;
}

/// How many were published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// In the queue, confirmed.
    pub(super) confirmed: u64,
    /// Not confirmed: resumed in about a minute.
    pub(super) pending: u64,
}

/// Publishes what was taken, and marks in the journal what was confirmed. Copies from before `mark`,
/// which was made before they were taken, are stale, and leave the queue where it can remove them.
pub(super) async fn publish<T: Taken>(
    broker: &Broker,
    journal: &Journal,
    taken: &[T],
    mark: PublishMark,
) -> Published {
    let publishing = (0..).zip(taken).map(|(index, one)| async move {
        if T::MAY_WAIT {
            let id = one.request_id().hyphenated().to_string();
            broker.remove_waiting(id, mark).await;
        }
        let spread = Duration::from_secs(index % SPREAD_SECONDS);
        let confirmed = publish_one(broker, one, spread).await;
        confirmed.then(|| one.mark())
    });
    let publishing: Vec<_> = publishing.collect();
    let confirmed: Vec<_> = stream::iter(publishing)
        .buffer_unordered(MAX_UNCONFIRMED)
        .collect()
        .await;
    let confirmed: Vec<T::Mark> = confirmed.into_iter().flatten().collect();
    if !confirmed.is_empty()
        && let Err(error) = T::confirm(journal, &confirmed).await
    {
        // They may be published again. Copies with the same id, generation and hold count once.
        let (count, what) = (confirmed.len(), T::NAME);
        tracing::warn!(%error, count, what, "published, but not marked as published in the journal");
    }
    let pending = taken.len() - confirmed.len();
    if pending > 0 {
        tracing::warn!(
            count = pending,
            what = T::NAME,
            "not published yet; this is resumed"
        );
    }
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Published {
        confirmed: count(confirmed.len()),
        pending: count(pending),
    }
}

async fn publish_one<T: Taken>(broker: &Broker, taken: &T, spread: Duration) -> bool {
    let (request_id, now) = (taken.request_id(), now_ms());
    let message = match taken.message(now) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(%request_id, %error, "unreadable message in the journal");
            return false;
        }
    };
    let delay = taken.delay(spread, now);
    let message = dispatcher::to_broker_message(&message);
    match broker.publish_later(message, delay).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%request_id, %error, what = T::NAME, "not published yet");
            false
        }
    }
}

/// Resumes interrupted publishes until `stop`. The journal hands each to one process.
pub(super) async fn resume_interrupted(broker: Broker, journal: Journal, stop: CancellationToken) {
    loop {
        let wait = tokio::time::sleep(RESUME_INTERVAL);
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
        resume_once::<WaitingMessage>(&broker, &journal, now_ms()).await;
        resume_once::<Replay>(&broker, &journal, now_ms()).await;
    }
}

async fn resume_once<T: Taken>(broker: &Broker, journal: &Journal, now: u64) -> Published {
    let mark = broker.publish_mark();
    let before = now.saturating_sub(contract::duration_ms(PUBLISHER_TIMEOUT));
    let taken = match T::take_interrupted(journal, before, now).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::debug!(%error, what = T::NAME, "failed to query interrupted publishes");
            return Published::default();
        }
    };
    if taken.is_empty() {
        return Published::default();
    }
    let published = publish(broker, journal, &taken, mark).await;
    let Published { confirmed, pending } = published;
    tracing::warn!(
        confirmed,
        pending,
        what = T::NAME,
        "interrupted publishes resumed"
    );
    published
}
