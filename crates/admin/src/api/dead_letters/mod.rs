//! `/admin/v1/dead-letters`: list, show, replay and discard dead letters.
//!
//! - `mod.rs`: the handlers. `selection.rs`: counts what a request selects.
//! - `discard.rs`: what the request does. A replay is that of `bulk/`. `view.rs`: the answers.

mod discard;
mod selection;
mod view;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use runtime::clock::now_ms;
use runtime::http::json_line;
use serde_json::json;

use super::body::BodyBytes;
use super::bulk;
use super::bulk_request::{self, Actor, BulkAct, BulkRequest, Selection};
use super::bulk_view::BulkView;
use super::callbacks::{self, ListedPage};
use super::end_facts::end_facts;
use super::error::{ApiError, ProblemCode};
use super::known_callees;
use super::query_params;
use super::response::{ApiResponse, ok, ok_list};
use super::state::AdminState;
use super::view::{CallbackView, MatchedView};
use crate::doctor::said::say;
pub(super) use discard::DiscardView;
pub(super) use view::ReplayView;

/// `GET /admin/v1/dead-letters`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let found = page(&state, http.query_string()).await?;
    ok_list(&found.page, &state.pauses)
}

/// The page that a query string asks for.
pub(crate) async fn page(state: &AdminState, query: &str) -> Result<ListedPage, ApiError> {
    let (filter, page) = query_params::callbacks(query)?;
    let filter = bulk_request::dead_letter_filter(filter)?;
    let filter = selection::of_dead_letters(&filter);
    let (journal, registry) = (state.journal()?, state.callee_registry.get());
    let found = state.run(async move {
        let found = journal
            .list(&filter, page.after, page.limit, now_ms())
            .await?;
        let causes = callbacks::causes(&found, &journal).await?;
        let is_empty = found.callbacks.is_empty() && page.after.is_none();
        known_callees::refuse_unknown(&filter, &registry, is_empty, &journal).await?;
        Ok((found, causes, registry))
    });
    let (found, causes, registry) = found.await?;
    Ok(ListedPage {
        looked_back_to: found.looked_back_to,
        page: callbacks::items(found, causes, &registry),
    })
}

/// `GET /admin/v1/dead-letters/{id}`
pub(super) async fn show(state: Data<AdminState>, id: Path<String>) -> ApiResponse {
    let id = state.request_id(&id).await?;
    let journal = state.journal()?;
    let found = state.run(async move {
        let found = journal.find(id).await?;
        let callback = found.ok_or_else(|| ApiError::unknown_callback(id))?;
        let facts = end_facts(&callback, &journal).await?;
        Ok((callback, facts))
    });
    let (callback, facts) = found.await?;
    let registry = state.callee_registry.get();
    let callback = CallbackView::of(callback, &facts, now_ms());
    let callback = callback.with_callee_name(&registry);
    if !selection::is_dead_letter(callback.status) {
        let status = callback.status;
        let sentence = say!(
            "{id} is not a dead letter: it is {status}",
            "{id} 不是死信，状态为 {status}"
        );
        return Err(ApiError::rejected(ProblemCode::NotADeadLetter, sentence));
    }
    ok(&callback)
}

/// `POST /admin/v1/dead-letters/replay`
pub(super) async fn replay(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let BulkRequest {
        selection, actor, ..
    } = bulk::read(&state, &http, &body, BulkAct::ReplayDead).await?;
    let Some(actor) = actor else {
        return ok(&matched(&state, selection).await?);
    };
    let replayed = replay_step(&state, selection, actor).await?;
    ok(&ReplayView::from(replayed))
}

/// One step of a replay.
pub(super) async fn replay_step(
    state: &AdminState,
    selection: Selection,
    actor: Actor,
) -> Result<BulkView, ApiError> {
    let (broker, journal) = (state.broker.clone(), state.journal()?);
    let reconcile_requested = state.reconcile_requested.clone();
    let replayed = state.run(async move {
        let of = (&selection, BulkAct::ReplayDead);
        let replayed = bulk::replay_step(&broker, &journal, of, actor).await?;
        reconcile_requested.some_are_stale();
        Ok(replayed)
    });
    replayed.await
}

/// `POST /admin/v1/dead-letters/discard`
pub(super) async fn discard(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let BulkRequest {
        selection, actor, ..
    } = bulk::read(&state, &http, &body, BulkAct::Discard).await?;
    let Some(actor) = actor else {
        return ok(&matched(&state, selection).await?);
    };
    ok(&discard_step(&state, selection, actor).await?)
}

/// One step of a discard.
pub(super) async fn discard_step(
    state: &AdminState,
    selection: Selection,
    actor: Actor,
) -> Result<DiscardView, ApiError> {
    let journal = state.journal()?;
    let reconcile_requested = state.reconcile_requested.clone();
    let discarded = state.run(async move {
        let discarded = discard::discard(&journal, &selection, actor).await?;
        reconcile_requested.some_are_stale();
        Ok(discarded)
    });
    discarded.await
}

/// A dry run.
pub(super) async fn matched(
    state: &AdminState,
    selection: Selection,
) -> Result<MatchedView, ApiError> {
    let journal = state.journal()?;
    let counting = state.run(async move { Ok(selection::count(&journal, &selection).await?) });
    counting.await
}

/// `POST /admin/v1/dead-letters/reconcile`
pub(super) async fn reconcile(state: Data<AdminState>) -> ApiResponse {
    state.journal()?;
    state.reconcile_requested.whole_queue();
    let scheduled = json!({ "reconcile": "scheduled" });
    Ok(json_line(&mut HttpResponse::Accepted(), &scheduled))
}
