//! How does an answer look on the wire?

use crate::server::Door;
use crate::wishes::Wait;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_LANGUAGE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use boot::settings::HttpStatus;
use contract::{Answer, Invalid, Language};
use uuid::Uuid;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// After this many seconds a caller may try again: a reconnect takes at most as long.
const RETRY_AFTER_SECONDS: u32 = 5;

/// A caller is turned away.
#[derive(Debug)]
pub(crate) struct Turned {
    pub(crate) answer: Answer,
    /// Present only when the callback may have been accepted all the same.
    pub(crate) request_id: Option<Uuid>,
}

impl From<Answer> for Turned {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            request_id: None,
        }
    }
}

impl From<Invalid> for Turned {
    fn from(invalid: Invalid) -> Self {
        Answer::Invalid(invalid).into()
    }
}

pub(crate) fn language(http: &HttpRequest) -> Language {
    let header = http.headers().get(ACCEPT_LANGUAGE);
    Language::from_accept_language(header.and_then(|value| value.to_str().ok()))
}

/// A response with a body made elsewhere.
pub(crate) fn json(status: u16, body: Vec<u8>) -> HttpResponse {
    builder(status).body(body)
}

fn builder(status: u16) -> HttpResponseBuilder {
    // Every status of the contract is a valid one; 500 would show a new one that is not.
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponseBuilder::new(status);
    response.content_type("application/json; charset=utf-8");
    response
}

/// Says that the wait that was asked for has been honoured.
pub(crate) fn say_applied(response: &mut HttpResponse, wait: &Wait) {
    let applied = wait.applied().map(HeaderValue::try_from);
    if let Some(Ok(value)) = applied {
        response.headers_mut().insert(PREFERENCE_APPLIED, value);
    }
}

impl Door {
    pub(crate) fn reply(
        &self,
        answer: &Answer,
        request_id: Option<Uuid>,
        language: Language,
    ) -> HttpResponse {
        let status = match self.http_status {
            HttpStatus::ByCode => answer.http_status(),
            HttpStatus::Always200 => 200,
        };
        let mut response = builder(status);
        match answer {
            Answer::Unavailable => drop(response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS))),
            Answer::TooManyRequests { retry_after } => {
                response.insert_header((RETRY_AFTER, *retry_after));
            }
            Answer::Unauthorized => {
                if let Some(challenge) = self.register.challenge() {
                    response.insert_header((WWW_AUTHENTICATE, challenge));
                }
            }
            _ => {}
        }
        if matches!(answer, Answer::SlowBody | Answer::TooLarge { .. }) {
            // What is left of the body would be read as the next request.
            response.force_close();
        }
        response.body(answer.body(request_id, language))
    }
}
