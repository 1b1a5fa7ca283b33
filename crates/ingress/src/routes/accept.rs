//! `POST /api/callback`: accepts a callback. The main path of ingress.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use contract::{Answer, Language, Request};
use runtime::http::read_json;
use tokio::time::Instant;

use super::respond::{reject, respond};
use crate::auth::Caller;
use crate::enqueue::{EnqueueRequest, Enqueued};
use crate::idempotency::KeyHeader;
use crate::message::CallerTrace;
use crate::preferences::WaitPreference;
use crate::quota::set_quota;
use crate::rejection::Rejection;
use crate::report::answer_for;
use crate::response::{set_preference_applied, set_warning};
use crate::spans::AcceptSpan;
use crate::state::AppState;
use crate::validate_target::validate_target;
use crate::wait::status::WaitFor;

/// What was enqueued, the names of options that were ignored, and the caller with its place among those
/// in flight.
type Accepted = (Enqueued, Option<String>, Caller);

pub(super) async fn accept(
    state: web::Data<AppState>,
    http_request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let begun = Instant::now();
    let headers = http_request.headers();
    let wait = WaitPreference::read(headers, state.wait_policy, begun);
    let traceparent = headers.get("traceparent");
    let traceparent = traceparent.and_then(|value| value.to_str().ok());
    let span = AcceptSpan::begin(state.tracer.as_deref(), traceparent);
    // Boxed: while the caller waits for the first attempt, these steps take no memory.
    let steps = Box::pin(enqueue(&state, &http_request, payload, wait.deadline()));
    // The caller counts as in flight until the response is made.
    let enqueued = steps.await;
    let decided = enqueued.as_ref().map_or_else(
        |rejection| rejection.answer.http_status(),
        |_| Answer::Accepted.http_status(),
    );
    state.metrics.decided(decided, begun.elapsed());
    let (enqueued, ignored_options, caller) = match enqueued {
        Ok(enqueued) => enqueued,
        Err(rejection) => {
            let msg = rejection.answer.msg(Language::English);
            let http_status = rejection.answer.http_status();
            tracing::debug!(http_status, %msg, "callback rejected");
            if let Some(span) = span {
                let (id, app_id) = (rejection.request_id, rejection.app_id.as_deref());
                span.end(id, id.is_some(), app_id, http_status);
            }
            return reject(&state, &http_request, &rejection);
        }
    };
    if let Some(span) = span {
        let id = Some(enqueued.request_id);
        span.end(id, !enqueued.is_repeat, caller.app_id(), 200);
    }
    let request_id = enqueued.request_id;
    let answer = first_outcome(&state, enqueued, wait.deadline()).await;
    let mut response = respond(&state, &http_request, &answer, Some(request_id));
    set_preference_applied(&mut response, &wait);
    set_quota(&mut response, caller.quota());
    set_warning(&mut response, ignored_options.as_deref());
    response
}

/// The steps from a request to a durable message.
///
/// Admission is part of the last step, because the claim of an idempotency key comes before it.
async fn enqueue(
    state: &AppState,
    http_request: &HttpRequest,
    payload: web::Payload,
    wait_until: Option<Instant>,
) -> Result<Accepted, Rejection> {
    state.intake.check()?;
    let authenticator = &state.authenticator;
    let credentials = authenticator.check_headers(http_request)?;
    let body = read_json(http_request, payload, state.body_limits).await?;
    let caller = authenticator.check_body(credentials, http_request, &body)?;
    let mut app_id = caller.app_id().map(str::to_owned);
    let steps = enqueue_as(
        state,
        (http_request, &body),
        caller,
        &mut app_id,
        wait_until,
    );
    let enqueued = steps.await;
    enqueued.map_err(|rejection| rejection.of_app(app_id.as_deref()))
}

/// The steps after the authentication. `app_id` is set once the body has named it.
async fn enqueue_as(
    state: &AppState,
    (http_request, body): (&HttpRequest, &web::Bytes),
    caller: Caller,
    app_id: &mut Option<String>,
    wait_until: Option<Instant>,
) -> Result<Accepted, Rejection> {
    let (headers, authenticator) = (http_request.headers(), &state.authenticator);
    let key = KeyHeader::read(headers, state.enqueuer.journal.as_ref())?;
    let mut request = Request::parse(body, &state.rules)?;
    let ignored_options = request.ignored_options.take();
    app_id.get_or_insert_with(|| request.app_id.clone());
    let caller = authenticator.authorize_app(caller, &request.app_id)?;
    let validated = validate_target(request, &state.callees.get(), &state.guards.get())?;
    let key = key.map(|key| key.scoped(&validated.request.app_id, body));
    let request = EnqueueRequest {
        validated,
        trace: CallerTrace::read(headers),
        wait_until,
    };
    let enqueued = Arc::clone(&state.enqueuer).enqueue(request, key).await?;
    Ok((enqueued, ignored_options, caller))
}

/// The answer: accepted, or the outcome of the first attempt if the caller waits for it.
async fn first_outcome(state: &AppState, enqueued: Enqueued, deadline: Option<Instant>) -> Answer {
    let Some(deadline) = deadline else {
        return Answer::Accepted;
    };
    let outcome = match (enqueued.waiter, &state.lookup) {
        (Some(waiter), _) => {
            let reply = waiter.outcome(deadline, &state.stop).await;
            reply.map(Answer::from)
        }
        (None, Some(lookup)) => {
            let (id, wait_for) = (enqueued.request_id, WaitFor::FirstAttempt);
            // Boxed: only repeats of an idempotency key need the memory.
            let status = Box::pin(lookup.wait_for(id, wait_for, deadline, &state.stop)).await;
            status.map(answer_for)
        }
        (None, None) => None,
    };
    outcome.unwrap_or(Answer::Retrying)
}
