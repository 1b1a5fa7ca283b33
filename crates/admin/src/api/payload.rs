//! `/admin/v1/callbacks/{id}/payload`: the message of a callback, and what targets answered to its
//! attempts. Every look is written to the audit log before anything is shown.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use journal::AttemptRecord;
use serde_json::value::RawValue;

use super::audit;
use super::auth::TokenName;
use super::bulk_request::{Actor, NO_REASON};
use super::error::ApiError;
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::{AnswerView, PayloadView};
use crate::shown::{MASKED, ShownToOperators};

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
    let masks = state.shown.clone();
    let shown = state.run(async move {
        let found = journal.find(request_id).await?;
        let callback = found.ok_or_else(|| ApiError::unknown_callback(request_id))?;
        let message = journal.message(request_id).await?;
        let message_type = &callback.origin.message_type;
        audit::record_look(Some(&journal), &request_id.to_string(), actor).await?;
        Ok(PayloadView {
            request_id,
            message: message.and_then(|bytes| masked(&bytes, &masks, message_type)),
            answers: callback.attempts.into_iter().filter_map(answer).collect(),
        })
    });
    shown.await
}

/// The queue message: byte for byte unless a mask is for its type. Else it is written anew, so that of two
/// members of one name none is left beside the mask, and what cannot be read (a number of 1e400) is masked
/// whole.
fn masked(bytes: &[u8], masks: &ShownToOperators, message_type: &str) -> Option<Box<RawValue>> {
    let raw: Box<RawValue> = serde_json::from_slice(bytes).ok()?;
    if !masks.has_mask(message_type) {
        return Some(raw);
    }
    let mut message = serde_json::from_str(raw.get()).unwrap_or_else(|_| MASKED.into());
    masks.mask(message_type, &mut message);
    serde_json::value::to_raw_value(&message).ok()
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
        .map_err(|error| ApiError::parameter(error.said()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::PayloadMask;

    fn shown(message: &str, masks: &[&str]) -> String {
        let masks = masks
            .iter()
            .map(|mask| PayloadMask::try_from((*mask).to_owned()).unwrap());
        let masks = ShownToOperators {
            trace_url: None,
            masks: masks.collect(),
        };
        let shown = masked(message.as_bytes(), &masks, "order.paid").unwrap();
        shown.get().to_owned()
    }

    #[test]
    fn without_a_mask_for_its_type_a_message_is_shown_byte_for_byte() {
        for message in [
            r#"{"request_message":{"b":1e400,"a":"\ud800","a":1.50}}"#,
            r#"{ "request_message": {} }"#,
        ] {
            assert_eq!(shown(message, &["refund:/a"]), message);
        }
    }

    #[test]
    fn a_mask_hides_a_value_however_it_is_written() {
        for message in [
            r#"{"request_message":{"card":{"number":"4111"}}}"#,
            r#"{"request_message":{"card":{"number":"4111"},"card":{}}}"#,
            r#"{"request_message":{"card":{"number":"4111"},"n":1e400}}"#,
        ] {
            let shown = shown(message, &["order.*:/card/number"]);
            assert!(!shown.contains("4111"), "{shown}");
        }
    }
}
