//! Acts on many callbacks: retry now, cancel, replay, erase, expedite and recover. All have one shape:
//! ids or a filter, a limit, a dry run, and an operation that the audit log shows as one entry.
//!
//! - `mod.rs`: the handlers. `count.rs`: dry runs.
//! - `retry_now.rs`, `cancel.rs`, `replay.rs`, `erase.rs`, `recover.rs`: what the requests do, one step
//!   each. `expedite.rs`: a retry of all that waits for a callee or target.
//! - `take.rs`: takes callbacks by their ids; `republish/` publishes what was taken.

mod cancel;
mod count;
mod erase;
mod expedite;
mod recover;
mod replay;
mod retry_now;
mod take;

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::audit::AuditAction;
use super::auth::TokenName;
use super::body::BodyBytes;
use super::bulk_request::{BulkAct, BulkRequest, Selection};
use super::error::ApiError;
use super::estimate;
use super::known_callees;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
pub(super) use expedite::expedite;
pub(super) use replay::step as replay_step;

/// `POST /admin/v1/callbacks/retry-now`
pub(super) async fn retry_now(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let request = read(&state, &http, &body, BulkAct::RetryNow).await?;
    let (broker, journal) = (state.broker.clone(), state.journal()?);
    let Some(actor) = request.actor else {
        let counting = async move { count::retries(&journal, &request.selection).await };
        let (mut counted, sample) = state.run(counting).await?;
        counted.estimate = estimate::of(&state, counted.matched, &sample, request.rate).await;
        return ok(&counted);
    };
    let selection = request.selection;
    let done = state.run(async move {
        retry_now::step(&broker, &journal, &selection, AuditAction::RetryNow, actor).await
    });
    ok(&done.await?)
}

/// `POST /admin/v1/callbacks/cancel`
pub(super) async fn cancel(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let request = read(&state, &http, &body, BulkAct::Cancel).await?;
    let (broker, journal) = (state.broker.clone(), state.journal()?);
    let Some(actor) = request.actor else {
        let counting = async move { count::cancellations(&journal, &request.selection).await };
        return ok(&state.run(counting).await?);
    };
    let selection = request.selection;
    let done = state.run(async move { cancel::step(&broker, &journal, &selection, actor).await });
    ok(&done.await?)
}

/// `POST /admin/v1/callbacks/replay`
pub(super) async fn replay(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let request = read(&state, &http, &body, BulkAct::Replay).await?;
    let (broker, journal) = (state.broker.clone(), state.journal()?);
    let Some(actor) = request.actor else {
        let counting = async move { count::replays(&journal, &request.selection).await };
        return ok(&state.run(counting).await?);
    };
    let (selection, reconcile) = (request.selection, state.reconcile_requested.clone());
    let done = state.run(async move {
        let done = replay::step(&broker, &journal, (&selection, BulkAct::Replay), actor).await?;
        reconcile.some_are_stale();
        Ok(done)
    });
    ok(&done.await?)
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
