//! How are dead letters replayed and discarded, and callbacks withdrawn, with a word in the log?

use std::time::Duration;

use broker::Broker;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use journal::{Audit, Cancelled, Filter, Journal, JournalError, Mended, Replay, Status};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::moment;
use super::refusal::Refusal;
use super::republish::{self, Published};
use super::wish::{Signed, Which};

/// How many questions about single ids are under way at a time.
const AT_ONCE: usize = 16;
/// A callback that is due within this time may be on its way already.
const MARGIN: Duration = Duration::from_secs(2);

/// How many dead letters a wish means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matched {
    /// Dead now. Some may be past the retention of bodies, and cannot be replayed.
    pub(crate) matched: u64,
    /// The moment of counting: as `updated_before`, it keeps what dies after it out.
    #[serde(with = "moment::as_text")]
    pub(crate) now: u64,
}

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replayed {
    /// In the queue again.
    pub(crate) replayed: usize,
    /// Taken, and published by itself within about a minute: the broker did not confirm it now.
    pub(crate) pending: usize,
    /// Whether there may be more that match.
    pub(crate) more: bool,
    /// Of the ids asked for: not dead (any more), or without a body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_dead: Vec<Uuid>,
    /// Of the ids asked for: not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unknown: Vec<Uuid>,
}

/// What a discard did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Discarded {
    /// Out of sight for good.
    pub(crate) discarded: u64,
    /// Whether there may be more that match.
    pub(crate) more: bool,
    /// Of the ids asked for: not dead (any more), or not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_dead: Vec<Uuid>,
}

/// Counts what is meant.
pub(super) async fn count(journal: &Journal, which: &Which) -> Result<Matched, JournalError> {
    let now = moment::now();
    let matched = match which {
        Which::Matching { filter, .. } => {
            let mut matched = 0;
            for filter in by_status(filter) {
                matched += journal.count(&filter, now).await?;
            }
            matched
        }
        Which::Ids(ids) => {
            let fates = journal.fates(ids).await?;
            let dead = fates.values().filter(|fate| {
                matches!(fate.status, Status::Dead | Status::Expired) && !fate.discarded
            });
            u64::try_from(dead.count()).unwrap_or(u64::MAX)
        }
    };
    Ok(Matched { matched, now })
}

/// A filter that means both kinds of dead letters, as one filter for each.
pub(super) fn by_status(filter: &Filter) -> Vec<Filter> {
    let each = |status| Filter {
        status: Some(status),
        ..filter.clone()
    };
    match filter.status {
        Some(status) => vec![each(status)],
        None => vec![each(Status::Dead), each(Status::Expired)],
    }
}

/// Takes what is meant out of the dead letters and publishes it.
pub(super) async fn replay(
    broker: &Broker,
    journal: &Journal,
    which: &Which,
    signed: Signed,
) -> Result<Replayed, JournalError> {
    let mut result = Replayed::default();
    let replays = match which {
        Which::Matching { filter, limit } => {
            let now = moment::now();
            let taken = journal.take_replays(filter, *limit, now).await?;
            result.more = taken.len() >= usize::try_from(*limit).unwrap_or(usize::MAX);
            taken
        }
        Which::Ids(ids) => take_each(journal, ids, &mut result).await?,
    };
    let Published { done, pending } = republish::publish(broker, journal, &replays).await;
    (result.replayed, result.pending) = (done, pending);
    sign(
        Some(journal),
        "replay",
        which.in_words(),
        signed,
        replays.len(),
    )
    .await;
    Ok(result)
}

/// What is taken before an error is published: it is not this wish's any more, but nobody else's.
async fn take_each(
    journal: &Journal,
    ids: &[Uuid],
    result: &mut Replayed,
) -> Result<Vec<Replay>, JournalError> {
    let now = moment::now();
    let answers: Vec<_> = stream::iter(ids.to_vec())
        .map(|id| async move { (id, journal.take_replay(id, now).await) })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let (mut taken, mut failed) = (Vec::new(), None);
    for (id, answer) in answers {
        match answer {
            Ok(Mended::Replay(replay)) => taken.push(replay),
            Ok(Mended::NotDead) => result.not_dead.push(id),
            Ok(Mended::Unknown) => result.unknown.push(id),
            Err(error) => {
                result.more = true;
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if taken.is_empty() => Err(error),
        _ => Ok(taken),
    }
}

/// Puts what is meant out of sight for good.
pub(super) async fn discard(
    journal: &Journal,
    which: &Which,
    signed: Signed,
) -> Result<Discarded, JournalError> {
    let now = moment::now();
    let mut result = Discarded::default();
    match which {
        Which::Matching { filter, limit } => {
            result.discarded = journal.discard(filter, *limit, now).await?;
            result.more = result.discarded >= u64::from(*limit);
        }
        Which::Ids(ids) => {
            let each = stream::iter(ids.to_vec())
                .map(|id| async move { Ok((id, journal.discard_one(id, now).await?)) });
            let answers: Vec<_> = each.buffered(AT_ONCE).try_collect().await?;
            for (id, done) in answers {
                match done {
                    true => result.discarded += 1,
                    false => result.not_dead.push(id),
                }
            }
        }
    }
    let count = usize::try_from(result.discarded).unwrap_or(usize::MAX);
    sign(Some(journal), "discard", which.in_words(), signed, count).await;
    Ok(result)
}

/// Withdraws a callback, whichever app's it is.
pub(super) async fn cancel(
    journal: &Journal,
    request_id: Uuid,
    signed: Signed,
) -> Result<&'static str, Refusal> {
    let now = moment::now();
    let said = match journal.cancel(request_id, None, now, MARGIN).await? {
        Cancelled::Certainly => "certainly",
        Cancelled::Perhaps => "perhaps",
        Cancelled::Ended(status) => {
            let sentence = format!("too late: {request_id} has ended, it is {status}");
            return Err(Refusal::Conflict(sentence));
        }
        Cancelled::Unknown => return Err(unknown(request_id)),
    };
    sign(Some(journal), "cancel", request_id.to_string(), signed, 1).await;
    Ok(said)
}

/// Nobody knows this id.
pub(super) fn unknown(request_id: Uuid) -> Refusal {
    Refusal::Unknown(format!("the journal knows no callback {request_id}"))
}

/// Writes down who did what. What is done is done: when that fails, the process's log has it.
pub(super) async fn sign(
    journal: Option<&Journal>,
    action: &str,
    subject: String,
    signed: Signed,
    count: usize,
) {
    let Signed { who, reason } = signed;
    tracing::info!(
        who,
        action,
        subject,
        reason,
        count,
        "an operator's wish is done"
    );
    let audit = Audit {
        at: moment::now(),
        who,
        action: action.to_owned(),
        subject,
        reason,
        count: u64::try_from(count).unwrap_or(u64::MAX),
    };
    if let Some(journal) = journal
        && let Err(error) = journal.audit(&audit).await
    {
        tracing::error!(%error, ?audit, "the audit log lacks an entry");
    }
}
