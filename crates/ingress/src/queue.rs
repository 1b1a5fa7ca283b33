//! How does an admitted callback become durable, once, and known to the journal?

use crate::admit::{self, Admitted};
use crate::claim::{Held, Key, Turn};
use crate::compose::{self, Queued};
use crate::query::Records;
use crate::reply::Turned;
use crate::server::Door;
use crate::waiting::Waiter;
use actix_web::web;
use broker::PublishError;
use contract::Answer;
use journal::{Journal, JournalError, Record};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// A journal that is slow must not hold up a callback that is durable.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// A callback that may be queued, and how long its caller waits for the first attempt.
pub(crate) struct Wish {
    pub(crate) admitted: Admitted,
    pub(crate) traceparent: Option<String>,
    pub(crate) until: Option<Instant>,
}

/// A callback that is queued for certain.
pub(crate) struct Taken {
    pub(crate) request_id: Uuid,
    /// Hears of the first attempt, where the caller waits for it. None for a repeat, whose first
    /// attempt may be long over.
    pub(crate) waiter: Option<Waiter>,
}

/// Queues the callback unless another request of this key did. A caller that goes away in the middle
/// leaves no claim behind whose end nobody knows: this goes on without it.
pub(crate) async fn queue_once(
    door: web::Data<Door>,
    wish: Wish,
    key: Key,
    journal: Journal,
) -> Result<Taken, Turned> {
    let doing = tokio::spawn(async move {
        match key.claim(journal, door.publish_timeout).await? {
            Turn::Publish(held) => queue(&door, wish, held.request_id, Some(held)).await,
            Turn::Repeat(request_id) => Ok(Taken {
                request_id,
                waiter: None,
            }),
        }
    });
    let failed = |error| {
        tracing::error!(%error, "a request with an idempotency key was not finished");
        Err(Answer::Internal.into())
    };
    doing.await.unwrap_or_else(failed)
}

/// Queues the callback under this id, for the holder of a claim if there is one.
pub(crate) async fn queue(
    door: &Door,
    wish: Wish,
    request_id: Uuid,
    claim: Option<Held>,
) -> Result<Taken, Turned> {
    let (waiter, reply_to) = match wish.until {
        None => (None, None),
        Some(until) => {
            let (waiter, reply_to) = door.listening.enter(request_id, until).await;
            (Some(waiter), reply_to)
        }
    };
    let now = SystemTime::now();
    let Queued {
        message,
        delay,
        record: accepted,
    } = compose::compose(wish.admitted, wish.traceparent, request_id, reply_to, now);
    let published = publish(door, request_id, message, delay).await;
    match claim {
        None => published?,
        Some(held) => held.settle(published).await?,
    }
    door.metrics.accepted();
    match delay {
        // Boxed, so that nobody carries the room for it who does not need it.
        Some(_) => Box::pin(record_delayed(door, accepted)).await?,
        // Others do not wait for their records.
        None => {
            if let Some(recorder) = &door.recorder {
                recorder.record(accepted);
            }
        }
    }
    tracing::debug!(%request_id, "callback accepted");
    Ok(Taken { request_id, waiter })
}

async fn publish(
    door: &Door,
    request_id: Uuid,
    message: broker::Message,
    delay: Option<Duration>,
) -> Result<(), Turned> {
    admit::room(door)?;
    let confirmed = match delay {
        None => door.broker.publish(message).await,
        Some(delay) => door.broker.publish_later(message, delay).await,
    };
    confirmed.map_err(|error| {
        door.metrics.publish_failure(error.as_str());
        // Only what may have been written is given an id: the caller can ask for it.
        let known = matches!(error, PublishError::Unknown(_)).then_some(request_id);
        tracing::warn!(request_id = known.map(tracing::field::display), %error, "callback not confirmed");
        Turned {
            answer: Answer::Unavailable,
            request_id: known,
        }
    })
}

/// Tells the journal of a callback that is to wait: it must be found by whoever withdraws it, so its
/// record is durable before its caller hears of it.
async fn record_delayed(door: &Door, accepted: Record) -> Result<(), Turned> {
    let Some(recorder) = &door.recorder else {
        return Ok(());
    };
    let request_id = accepted.origin.request_id;
    let handed_over = recorder.record_durably(accepted.clone());
    if let Ok(Ok(())) = timeout(door.publish_timeout, handed_over).await {
        make_known(door, accepted).await;
        return Ok(());
    }
    // It is queued all the same.
    tracing::warn!(%request_id, "a delayed callback is not recorded yet");
    Err(Turned {
        answer: Answer::Unavailable,
        request_id: Some(request_id),
    })
}

/// Sees to it that the journal itself knows of a callback whose record may still be on its way, in
/// the journal's queue: to be withdrawn it must be found. Both write the same row.
async fn make_known(door: &Door, accepted: Record) {
    let Some(Records { journal, .. }) = &door.records else {
        return;
    };
    let request_id = accepted.origin.request_id;
    let known = async {
        let fates = journal.fates(&[request_id]).await?;
        if !fates.contains_key(&request_id) {
            journal.record(&[accepted]).await?;
        }
        Ok::<_, JournalError>(())
    };
    // Durable it is; whoever asks meanwhile is told to ask again.
    if !matches!(timeout(KNOWN_WITHIN, known).await, Ok(Ok(()))) {
        tracing::warn!(%request_id, "the journal does not know of a delayed callback yet");
    }
}
