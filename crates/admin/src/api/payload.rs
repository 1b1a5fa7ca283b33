//! `/admin/v1/callbacks/{id}/payload`: the message of a callback, and what targets answered to its
//! attempts. Every look is written to the audit log before anything is shown.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use journal::AttemptRecord;

use super::audit;
use super::auth::TokenName;
use super::bulk_request::Actor;
use super::error::ApiError;
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::{AnswerView, PayloadView};

/// The reason in the audit log where none was given.
const NO_REASON: &str = "no reason given";

/// `GET /admin/v1/callbacks/{id}/payload`
pub(super) async fn show(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
) -> ApiResponse {
    let actor = looker(&http)?;
    ok(&look(&state, &id, actor).await?)
}

/// What is shown to this operator, after the look is written to the audit log.
pub(crate) async fn look(
    state: &AdminState,
    id: &str,
    actor: Actor,
) -> Result<PayloadView, ApiError> {
    let request_id = state.request_id(id).await?;
    let journal = state.journal()?;
    let shown = state.run(async move {
        let found = journal.find(request_id).await?;
        let callback = found.ok_or_else(|| ApiError::unknown_callback(request_id))?;
        let message = journal.message(request_id).await?;
        audit::record_look(Some(&journal), &request_id.to_string(), actor).await?;
        Ok(PayloadView {
            request_id,
            message: message.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            answers: callback.attempts.into_iter().filter_map(answer).collect(),
        })
    });
    shown.await
}

fn answer(attempt: AttemptRecord) -> Option<AnswerView> {
    let answer = attempt.answer?;
    Some(AnswerView {
        generation: attempt.generation,
        number: attempt.number,
        started_at: attempt.started_at,
        http_status: attempt.http_status,
        content_type: answer.content_type,
        answer: answer.text,
    })
}

/// Who looks, and why: the parameters `actor` and `reason`. The actor may be left out with a named
/// token.
///
/// # Errors
/// A parameter that is missing, unknown or invalid.
pub(super) fn looker(http: &HttpRequest) -> Result<Actor, ApiError> {
    let mut found = query_params::only(http.query_string(), &["actor", "reason"])?;
    let reason = found.remove("reason");
    let reason = reason.unwrap_or_else(|| NO_REASON.to_owned());
    let token_name = TokenName::of(http);
    Actor::new(found.remove("actor"), Some(reason), token_name.as_deref())
        .map_err(|error| ApiError::parameter(error.to_string()))
}
