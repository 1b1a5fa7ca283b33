//! `/admin/v1/callbacks`: list, show and cancel callbacks.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use broker::Broker;
use contract::{Message, TraceContext};
use delivery::CalleeRegistry;
use journal::{Callback, CallbackPage, CancelOutcome, Cursor, Journal};
use runtime::clock::now_ms;
use uuid::Uuid;

use super::audit::{self, AuditAction};
use super::auth::TokenName;
use super::body::BodyBytes;
use super::bulk_request::Actor;
use super::end_facts::add_end_facts;
use super::error::{ApiError, ProblemCode};
use super::explain::facts::CallbackFacts;
use super::gather_facts::gather_facts;
use super::known_callees;
use super::query_params;
use super::request_ids::WrittenId;
use super::response::{ApiResponse, ok, ok_list};
use super::state::AdminState;
use super::view::{CallbackView, CancelResult, CancelView, ItemsPage};
use crate::doctor::said::say;

/// A callback that is due within this time may be in an attempt already.
const CANCEL_MARGIN: Duration = Duration::from_secs(2);

/// `GET /admin/v1/callbacks`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let found = page(&state, http.query_string()).await?;
    ok_list(&found.page, &state.pauses)
}

/// A page of callbacks.
pub(crate) struct ListedPage {
    pub(crate) page: ItemsPage<CallbackView>,
    /// The look ended here before the page was full: what was accepted before this time (Unix ms) was not looked
    /// at.
    pub(crate) looked_back_to: Option<u64>,
}

/// The page that a query string asks for.
pub(crate) async fn page(state: &AdminState, query: &str) -> Result<ListedPage, ApiError> {
    let (filter, page) = query_params::callbacks(query)?;
    let (journal, registry) = (state.journal()?, state.callee_registry.get());
    let found = state.run(async move {
        let now = now_ms();
        let found = journal.list(&filter, page.after, page.limit, now).await?;
        let causes = causes(&found, &journal).await?;
        let is_empty = found.callbacks.is_empty() && page.after.is_none();
        known_callees::refuse_unknown(&filter, &registry, is_empty, &journal).await?;
        Ok((found, causes, registry))
    });
    let (found, causes, registry) = found.await?;
    Ok(ListedPage {
        looked_back_to: found.looked_back_to,
        page: items(found, causes, &registry),
    })
}

/// Some of the newest callbacks that a query string selects, by two pages' looks at most. `leaves_delayed`: none that
/// waits for its caller's time.
pub(crate) async fn sample(
    state: &AdminState,
    query: &str,
    leaves_delayed: bool,
    limit: u32,
) -> Result<Vec<CallbackView>, ApiError> {
    let (mut filter, _) = query_params::callbacks(query)?;
    if leaves_delayed {
        filter.delayed = Some(false);
    }
    let (journal, registry) = (state.journal()?, state.callee_registry.get());
    let found = state.run(async move {
        let now = now_ms();
        let mut found = journal.list(&filter, None, limit, now).await?;
        if found.callbacks.is_empty() && found.next.is_some() {
            found = journal.list(&filter, found.next, limit, now).await?;
        }
        let causes = causes(&found, &journal).await?;
        Ok(items(found, causes, &registry).items)
    });
    found.await
}

/// The causes of the last attempts of a page of callbacks.
pub(super) async fn causes(
    page: &CallbackPage,
    journal: &Journal,
) -> Result<HashMap<Uuid, String>, ApiError> {
    let ids = page.callbacks.iter();
    let ids: Vec<Uuid> = ids.map(|callback| callback.origin.request_id).collect();
    Ok(journal.last_causes(&ids).await?)
}

/// The response with a page of callbacks, each with the cause of its last attempt.
pub(super) fn items(
    page: CallbackPage,
    mut causes: HashMap<Uuid, String>,
    registry: &CalleeRegistry,
) -> ItemsPage<CallbackView> {
    let now = now_ms();
    let callbacks = page.callbacks.into_iter();
    let items = callbacks.map(|callback| {
        let last_cause = causes.remove(&callback.origin.request_id);
        CallbackView {
            last_cause,
            ..CallbackView::of(callback, &CallbackFacts::default(), now).with_callee_name(registry)
        }
    });
    ItemsPage {
        items: items.collect(),
        next: page.next.map(|Cursor(id)| id.to_string()),
    }
}

/// The callbacks of these ids that the journal knows, each with the cause of its last attempt.
pub(crate) async fn of_ids(
    state: &AdminState,
    ids: Vec<Uuid>,
) -> Result<Vec<CallbackView>, ApiError> {
    let (journal, registry) = (state.journal()?, state.callee_registry.get());
    let reading = state.run(async move {
        let mut found = CallbackPage {
            callbacks: Vec::new(),
            next: None,
            looked_back_to: None,
        };
        for id in ids {
            let callback = journal.find(id).await?;
            found.callbacks.extend(callback.map(|callback| Callback {
                attempts: Vec::new(),
                ..callback
            }));
        }
        let causes = causes(&found, &journal).await?;
        Ok(items(found, causes, &registry).items)
    });
    reading.await
}

/// `GET /admin/v1/callbacks/{id}`
pub(super) async fn show(state: Data<AdminState>, id: Path<String>) -> ApiResponse {
    ok(&view(&state, &id).await?)
}

/// The callback of this id, whole or its first digits, as of now.
pub(crate) async fn view(state: &AdminState, id: &str) -> Result<CallbackView, ApiError> {
    let id = state.request_id(id).await?;
    let journal = state.journal()?;
    let found = state
        .run(async move { Ok(journal.find(id).await?) })
        .await?;
    let mut callback = found.ok_or_else(|| ApiError::unknown_callback(id))?;
    let mut facts = CallbackFacts::default();
    if callback.status.is_unfinished() {
        facts = gather_facts(state, &callback).await;
        // It may have moved on while the processes were asked.
        let journal = state.journal()?;
        let again = state.run(async move { Ok(journal.find(id).await?) });
        callback = again.await?.unwrap_or(callback);
    }
    let journal = state.journal()?;
    let reading = state.run(async move {
        add_end_facts(&mut facts, &callback, &journal).await?;
        Ok((callback, facts))
    });
    let (callback, facts) = reading.await?;
    let registry = state.callee_registry.get();
    let view = CallbackView::of(callback, &facts, now_ms());
    Ok(view.with_callee_name(&registry))
}

/// The id of its trace, if the journal has its message: that of its caller, or its own.
pub(crate) async fn trace_id(state: &AdminState, id: Uuid) -> Result<Option<String>, ApiError> {
    let journal = state.journal()?;
    let reading = state.run(async move { Ok(journal.message(id).await?) });
    let message = reading.await?;
    let decoded = message.and_then(|bytes| Message::decode(&bytes).ok());
    Ok(decoded.map(|message| {
        let trace = TraceContext::of(id, message.traceparent.as_deref());
        format!("{:032x}", trace.trace_id)
    }))
}

/// `POST /admin/v1/callbacks/{id}/cancel`
pub(super) async fn cancel(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
    body: BodyBytes,
) -> ApiResponse {
    let request_id = WrittenId::of_act(&id)?;
    let actor = Actor::parse(&body, TokenName::of(&http).as_deref())?;
    let journal = state.journal()?;
    let broker = state.broker.clone();
    let result = state.run(async move { cancel_one(&broker, &journal, request_id, actor).await });
    let result = result.await?;
    ok(&CancelView { request_id, result })
}

/// Cancels a callback of any app.
async fn cancel_one(
    broker: &Broker,
    journal: &Journal,
    request_id: Uuid,
    actor: Actor,
) -> Result<CancelResult, ApiError> {
    let now = now_ms();
    // Taken before the cancellation: the message of a later replay stays.
    let mark = broker.publish_mark();
    let result = match journal.cancel(request_id, None, now, CANCEL_MARGIN).await? {
        CancelOutcome::Cancelled => {
            // What is not removed now ends before its attempt.
            let id = request_id.hyphenated().to_string();
            broker.remove_waiting(id, mark).await;
            CancelResult::Cancelled
        }
        CancelOutcome::Requested => CancelResult::Requested,
        CancelOutcome::AlreadyEnded(status) => {
            let sentence = say!(
                "{request_id} has ended already: it is {status}",
                "{request_id} 已经结束，状态为 {status}"
            );
            return Err(ApiError::rejected(ProblemCode::AlreadyEnded, sentence));
        }
        CancelOutcome::Unknown => return Err(ApiError::unknown_callback(request_id)),
    };
    let subject = request_id.to_string();
    audit::record(Some(journal), AuditAction::Cancel, subject, actor, 1).await;
    Ok(result)
}
