//! Takes callbacks by their ids, for a step that publishes them.

use std::future::Future;

use futures_util::{StreamExt as _, stream};
use journal::JournalError;
use uuid::Uuid;

use crate::api::bulk_view::{BulkView, Hindrance};

/// How many ids are taken concurrently.
const MAX_CONCURRENT_TAKES: usize = 16;

/// Takes each id. Those taken before an error are returned for publishing: no other request can take
/// them any more.
pub(super) async fn take_each<T, F>(
    ids: &[Uuid],
    take: impl Fn(Uuid) -> F,
    view: &mut BulkView,
) -> Result<Vec<T>, JournalError>
where
    F: Future<Output = Result<Result<T, Hindrance>, JournalError>>,
{
    let taking: Vec<_> = ids.iter().map(|id| (*id, take(*id))).collect();
    let outcomes: Vec<_> = stream::iter(taking)
        .map(|(id, taken)| async move { (id, taken.await) })
        .buffered(MAX_CONCURRENT_TAKES)
        .collect()
        .await;
    let (mut taken, mut failed) = (Vec::new(), None);
    for (id, outcome) in outcomes {
        match outcome {
            Ok(Ok(one)) => taken.push(one),
            Ok(Err(hindrance)) => view.not_changed.push(hindrance.of(id)),
            Err(error) => {
                view.more = true;
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if taken.is_empty() => Err(error),
        Some(_) | None => Ok(taken),
    }
}
