//! Builds HTTP responses from the contract's answers.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_LANGUAGE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use contract::{Answer, Language};
use uuid::Uuid;

use crate::config::HttpStatusMode;
use crate::preferences::WaitPreference;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Says that a part of the request was ignored.
const CALLBACK_WARNING: HeaderName = HeaderName::from_static("x-callback-warning");

/// `Retry-After` of a 503. A reconnect to the broker takes at most this long.
const RETRY_AFTER_SECONDS: u32 = 5;

/// The response with an answer. `challenge` is the `WWW-Authenticate` of a 401.
pub(crate) fn answer(
    answer: &Answer,
    request_id: Option<Uuid>,
    language: Language,
    mode: HttpStatusMode,
    challenge: Option<&'static str>,
) -> HttpResponse {
    let status = match mode {
        HttpStatusMode::ByCode => answer.http_status(),
        HttpStatusMode::Always200 => 200,
    };
    let mut response = builder(status);
    if let Some(challenge) = challenge {
        response.insert_header((WWW_AUTHENTICATE, challenge));
    }
    match answer {
        Answer::Unavailable => {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        Answer::TooManyRequests { retry_after } => {
            response.insert_header((RETRY_AFTER, *retry_after));
        }
        Answer::BodyTimeout | Answer::TooLarge { .. } => {
            // The rest of the body would be read as the next request.
            response.force_close();
        }
        Answer::Accepted
        | Answer::Retrying
        | Answer::Failed
        | Answer::Invalid(_)
        | Answer::Unauthorized
        | Answer::Forbidden
        | Answer::NotFound
        | Answer::MethodNotAllowed
        | Answer::Conflict
        | Answer::UnsupportedType(_)
        | Answer::Internal
        | Answer::NoJournal => {}
    }
    response.body(answer.body(request_id, language))
}

/// A response with this JSON body.
pub(crate) fn json(status: u16, body: Vec<u8>) -> HttpResponse {
    builder(status).body(body)
}

fn builder(status: u16) -> HttpResponseBuilder {
    // Every status of the contract is valid; a 500 would reveal one that is not.
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponseBuilder::new(status);
    response.content_type("application/json; charset=utf-8");
    response
}

/// The language of the answer, from `Accept-Language`.
pub(crate) fn language(http_request: &HttpRequest) -> Language {
    let header = http_request.headers().get(ACCEPT_LANGUAGE);
    Language::from_accept_language(header.and_then(|value| value.to_str().ok()))
}

/// Names the options that were ignored, if there are any.
pub(crate) fn set_warning(response: &mut HttpResponse, ignored_options: Option<&str>) {
    let warning = ignored_options.map(|names| format!("unknown options were ignored: {names}"));
    if let Some(Ok(value)) = warning.map(HeaderValue::try_from) {
        response.headers_mut().insert(CALLBACK_WARNING, value);
    }
}

/// Adds `Preference-Applied` if the request asked to wait (RFC 7240, 3).
pub(crate) fn set_preference_applied(response: &mut HttpResponse, wait: &WaitPreference) {
    let applied = wait.applied().map(HeaderValue::try_from);
    if let Some(Ok(value)) = applied {
        response.headers_mut().insert(PREFERENCE_APPLIED, value);
    }
}
