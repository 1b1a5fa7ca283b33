//! What an operation does, and to which callbacks: by the functions behind the requests of the API.

use delivery::limits::LimitKey;
use journal::Filter;

use super::act::OperationAct;
use crate::api::bulk::{self, CallbackAct, expedite};
use crate::api::bulk_request::{Actor, Selection};
use crate::api::bulk_view::{BulkCountView, BulkView};
use crate::api::error::ApiError;
use crate::api::state::AdminState;
use crate::api::view::MatchedView;
use crate::api::{dead_letters, estimate, known_callees, query_params};

/// What is done, and to which callbacks.
pub(crate) struct OperationPlan {
    act: OperationAct,
    /// Of an expedition: that of the callee or target.
    filter: Filter,
    /// Whose breakers give way.
    key: Option<LimitKey>,
}

impl OperationPlan {
    /// Reads which callbacks are meant: a query string as that of the lists.
    ///
    /// # Errors
    /// A parameter is unknown or invalid, or selects nothing to which this can be done.
    pub(crate) async fn read(
        state: &AdminState,
        act: OperationAct,
        query: &str,
    ) -> Result<Self, ApiError> {
        let (filter, _) = query_params::callbacks(query)?;
        if act == OperationAct::Expedite {
            let key = expedite::key(state, filter.callee_no.clone(), filter.target.clone())?;
            return Ok(Self {
                act,
                filter: expedite::waiting_for(&key, None)?,
                key: Some(key),
            });
        }
        let filter = act.bulk().filter(filter)?;
        let (journal, registry) = (state.journal()?, state.callee_registry.get());
        let asked = filter.clone();
        let checking = state.run(async move {
            known_callees::refuse_unknown(&asked, &registry, true, &journal).await
        });
        checking.await?;
        Ok(Self {
            act,
            filter,
            key: None,
        })
    }

    /// Which callbacks, in the words of the audit log.
    pub(crate) fn describe(&self) -> String {
        self.selection(1, None).describe(self.act.bulk())
    }

    /// At most `limit` of them, with nothing recorded since `counted_at` (Unix ms).
    fn selection(&self, limit: u32, counted_at: Option<u64>) -> Selection {
        Selection::Matching {
            filter: Filter {
                // The earlier of both: the filter may name a time that is still to come.
                updated_before: match (self.filter.updated_before, counted_at) {
                    (Some(asked), Some(counted)) => Some(asked.min(counted)),
                    (asked, counted) => asked.or(counted),
                },
                ..self.filter.clone()
            },
            limit,
        }
    }

    /// The dry run. `rate`: how many a second are going to be taken.
    ///
    /// # Errors
    /// The journal cannot be read, or keeps no message of what matches.
    pub(crate) async fn preview(
        &self,
        state: &AdminState,
        rate: u32,
    ) -> Result<BulkCountView, ApiError> {
        let selection = self.selection(1, None);
        match self.act {
            OperationAct::ReplayDead | OperationAct::Discard => {
                let MatchedView { matched, now } = dead_letters::matched(state, selection).await?;
                Ok(BulkCountView::of(matched, now))
            }
            OperationAct::RetryNow | OperationAct::Expedite => {
                let (mut counted, sample) = bulk::count_retries(state, selection).await?;
                counted.estimate = estimate::of(state, counted.matched, &sample, Some(rate)).await;
                Ok(counted)
            }
            OperationAct::Cancel => bulk::count_cancellations(state, selection).await,
            OperationAct::Replay => bulk::count_replays(state, selection).await,
        }
    }

    /// One step, of at most `limit` callbacks.
    pub(super) async fn step(
        &self,
        state: &AdminState,
        (limit, counted_at): (u32, u64),
        is_first: bool,
        actor: Actor,
    ) -> Result<BulkView, ApiError> {
        let selection = self.selection(limit, Some(counted_at));
        match (self.act, &self.key) {
            (OperationAct::ReplayDead, _) => {
                dead_letters::replay_step(state, selection, actor).await
            }
            (OperationAct::Discard, _) => {
                let discarded = dead_letters::discard_step(state, selection, actor).await?;
                Ok(discarded.into())
            }
            (OperationAct::Expedite, Some(key)) => {
                // A failing probe must not be repeated by every step.
                let probe = is_first.then_some(key);
                expedite::step(state, selection, probe, actor).await
            }
            (OperationAct::RetryNow | OperationAct::Expedite, _) => {
                bulk::step(state, CallbackAct::RetryNow, selection, actor).await
            }
            (OperationAct::Cancel, _) => {
                bulk::step(state, CallbackAct::Cancel, selection, actor).await
            }
            (OperationAct::Replay, _) => {
                bulk::step(state, CallbackAct::Replay, selection, actor).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_nothing_that_changed_after_the_count_whatever_the_filter_says() {
        for (asked, counted, expected) in [
            (Some(9), Some(7), Some(7)),
            (Some(5), Some(7), Some(5)),
            (None, Some(7), Some(7)),
            (Some(9), None, Some(9)),
        ] {
            let plan = OperationPlan {
                act: OperationAct::Cancel,
                filter: Filter {
                    updated_before: asked,
                    ..Filter::default()
                },
                key: None,
            };
            let Selection::Matching { filter, .. } = plan.selection(1, counted) else {
                panic!("no filter");
            };
            assert_eq!(filter.updated_before, expected, "{asked:?} {counted:?}");
        }
    }
}
