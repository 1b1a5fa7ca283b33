//! Acts on many callbacks: retry now, cancel, replay, erase, expedite and recover. All have one shape:
//! ids or a filter, a limit, a dry run, and an operation that the audit log shows as one entry.
//!
//! - `mod.rs`: the handlers. `count.rs`: dry runs.
//! - `retry_now.rs`, `cancel.rs`, `replay.rs`, `erase.rs`, `recover.rs`: what the requests do, one step
//!   each, of many callbacks or of one. `expedite.rs`: a retry of all that waits for a callee or target.
//! - `take.rs`: takes callbacks by their ids; `republish/` publishes what was taken.

mod cancel;
mod count;
mod erase;
pub(crate) mod expedite;
mod recover;
mod replay;
mod retry_now;
mod take;

use actix_web::HttpRequest;
use actix_web::web::Data;
use uuid::Uuid;

use super::audit::AuditAction;
use super::auth::TokenName;
use super::body::BodyBytes;
use super::bulk_request::{Actor, BulkAct, BulkRequest, Selection};
use super::bulk_view::{BulkCountView, BulkView};
use super::error::ApiError;
use super::estimate::{self, RetrySample};
use super::known_callees;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
pub(super) use expedite::{ExpediteBody, expedite};
pub(super) use replay::step as replay_step;

/// `POST /admin/v1/callbacks/retry-now`
pub(super) async fn retry_now(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let request = read(&state, &http, &body, BulkAct::RetryNow).await?;
    let Some(actor) = request.actor else {
        let (mut counted, sample) = count_retries(&state, request.selection).await?;
        counted.estimate = estimate::of(&state, counted.matched, &sample, request.rate).await;
        return ok(&counted);
    };
    ok(&step(&state, CallbackAct::RetryNow, request.selection, actor).await?)
}

/// `POST /admin/v1/callbacks/cancel`
pub(super) async fn cancel(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let request = read(&state, &http, &body, BulkAct::Cancel).await?;
    let Some(actor) = request.actor else {
        return ok(&count_cancellations(&state, request.selection).await?);
    };
    ok(&step(&state, CallbackAct::Cancel, request.selection, actor).await?)
}

/// `POST /admin/v1/callbacks/replay`
pub(super) async fn replay(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let request = read(&state, &http, &body, BulkAct::Replay).await?;
    let Some(actor) = request.actor else {
        return ok(&count_replays(&state, request.selection).await?);
    };
    ok(&step(&state, CallbackAct::Replay, request.selection, actor).await?)
}

/// The dry run of [`retry_now()`], and whom those are for that would be retried.
pub(super) async fn count_retries(
    state: &AdminState,
    selection: Selection,
) -> Result<(BulkCountView, RetrySample), ApiError> {
    let journal = state.journal()?;
    let counting = async move { count::retries(&journal, &selection).await };
    state.run(counting).await
}

/// The dry run of [`cancel()`].
pub(super) async fn count_cancellations(
    state: &AdminState,
    selection: Selection,
) -> Result<BulkCountView, ApiError> {
    let journal = state.journal()?;
    let counting = async move { count::cancellations(&journal, &selection).await };
    state.run(counting).await
}

/// The dry run of [`replay()`].
pub(super) async fn count_replays(
    state: &AdminState,
    selection: Selection,
) -> Result<BulkCountView, ApiError> {
    let journal = state.journal()?;
    let counting = async move { count::replays(&journal, &selection).await };
    state.run(counting).await
}

/// What can be done to a single callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallbackAct {
    /// The next attempt at once.
    RetryNow,
    /// No further attempt.
    Cancel,
    /// A new life for what has ended.
    Replay,
}

/// One step.
pub(super) async fn step(
    state: &AdminState,
    act: CallbackAct,
    selection: Selection,
    actor: Actor,
) -> Result<BulkView, ApiError> {
    let (broker, journal) = (state.broker.clone(), state.journal()?);
    let reconcile = state.reconcile_requested.clone();
    let done = state.run(async move {
        match act {
            CallbackAct::RetryNow => {
                let action = AuditAction::RetryNow;
                retry_now::step(&broker, &journal, &selection, action, actor).await
            }
            CallbackAct::Cancel => cancel::step(&broker, &journal, &selection, actor).await,
            CallbackAct::Replay => {
                let of = (&selection, BulkAct::Replay);
                let done = replay::step(&broker, &journal, of, actor).await?;
                reconcile.some_are_stale();
                Ok(done)
            }
        }
    });
    done.await
}

/// The same as [`step`], of one callback.
pub(crate) async fn act_on_one(
    state: &AdminState,
    act: CallbackAct,
    id: Uuid,
    actor: Actor,
) -> Result<BulkView, ApiError> {
    step(state, act, Selection::Ids(vec![id]), actor).await
}

/// Whether it could be done to this callback now: the dry run.
pub(crate) async fn preview_of_one(
    state: &AdminState,
    act: CallbackAct,
    id: Uuid,
) -> Result<BulkCountView, ApiError> {
    let selection = Selection::Ids(vec![id]);
    match act {
        CallbackAct::RetryNow => Ok(count_retries(state, selection).await?.0),
        CallbackAct::Cancel => count_cancellations(state, selection).await,
        CallbackAct::Replay => count_replays(state, selection).await,
    }
}

/// `POST /admin/v1/callbacks/erase`
pub(super) async fn erase(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let request = read(&state, &http, &body, BulkAct::Erase).await?;
    let (broker, journal) = (state.broker.clone(), state.journal()?);
    if request.actor.is_none() {
        let counting = async move { count::erasures(&journal, &request).await };
        return ok(&state.run(counting).await?);
    }
    let reconcile = state.reconcile_requested.clone();
    let done = state.run(async move {
        let done = erase::step(&broker, &journal, request).await?;
        reconcile.some_are_stale();
        Ok(done)
    });
    ok(&done.await?)
}

/// `POST /admin/v1/recover`
pub(super) async fn recover(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let request = read(&state, &http, &body, BulkAct::Recover).await?;
    let (broker, journal) = (state.broker.clone(), state.journal()?);
    if request.actor.is_none() {
        let counting = async move { recover::dry_run(&broker, &journal, &request.selection).await };
        return ok(&state.run(counting).await?);
    }
    let done = state.run(async move { recover::step(&broker, &journal, request).await });
    ok(&done.await?)
}

/// Reads a request. A filter by a callee that nobody knows is refused.
///
/// # Errors
/// What is missing or invalid, in a sentence.
pub(super) async fn read(
    state: &AdminState,
    http: &HttpRequest,
    body: &[u8],
    act: BulkAct,
) -> Result<BulkRequest, ApiError> {
    let request = BulkRequest::parse(body, TokenName::of(http).as_deref(), act)?;
    let (journal, registry) = (state.journal()?, state.callee_registry.get());
    let reading = async move {
        if let Selection::Matching { filter, .. } = &request.selection {
            known_callees::refuse_unknown(filter, &registry, true, &journal).await?;
        }
        Ok(request)
    };
    state.run(reading).await
}
