//! Authenticates a request about a callback, and parses the id in its path.

use actix_web::HttpRequest;
use contract::Answer;
use uuid::Uuid;

use crate::auth::Caller;
use crate::lookup::CallbackLookup;
use crate::rejection::Rejection;
use crate::state::AppState;

/// The caller, the lookup, and the id from the path.
pub(super) fn resolve<'a>(
    state: &'a AppState,
    http_request: &HttpRequest,
    request_id: &str,
) -> Result<(Caller, &'a CallbackLookup, Uuid), Rejection> {
    let caller = state.authenticator.authenticate_bodyless(http_request)?;
    // Checked before the id: without a journal no id may be answered 404.
    let lookup = state.lookup.as_ref().ok_or(Answer::NoJournal)?;
    let request_id = Uuid::try_parse(request_id).map_err(|_| Answer::NotFound)?;
    Ok((caller, lookup, request_id))
}
