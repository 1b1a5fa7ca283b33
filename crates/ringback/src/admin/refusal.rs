//! Why is an operator's request not done, in one sentence?

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use journal::JournalError;

/// What is answered instead: `{"error": "..."}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The question makes no sense.
    Bad(String),
    /// No token, or a wrong one.
    NoToken,
    /// The token is good for less: this needs that role.
    MayNot(&'static str),
    /// It seems to come from a web page of somebody else's.
    Foreign(&'static str),
    /// There is no such thing.
    Unknown(String),
    /// Not as this thing stands.
    Conflict(String),
    /// A body of another type than JSON.
    NotJson,
    /// There is no journal to ask.
    NoJournal,
    /// Journal or broker are out of reach.
    Away(String),
    /// Our own fault.
    Broken,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bad(sentence)
            | Self::Unknown(sentence)
            | Self::Conflict(sentence)
            | Self::Away(sentence) => sentence,
            Self::NoToken => "this needs a bearer token: admin.token, or one of admin.tokens",
            Self::MayNot(role) => return write!(f, "this needs a token with the role {role}"),
            Self::Foreign(sentence) => sentence,
            Self::NotJson => "the content-type must be application/json",
            Self::NoJournal => {
                "there is no journal to ask: set journal.url (RINGBACK__JOURNAL__URL)"
            }
            Self::Broken => "that did not work; the log says why",
        })
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::Foreign(_) | Self::MayNot(_) => StatusCode::FORBIDDEN,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoJournal => StatusCode::NOT_IMPLEMENTED,
            Self::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((CACHE_CONTROL, "no-store"));
        if *self == Self::NoToken {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        answer.json(serde_json::json!({ "error": self.to_string() }))
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Unavailable(_) => Self::Away(error.to_string()),
            JournalError::Refused(_) => {
                tracing::error!(%error, "the journal refuses");
                Self::Broken
            }
        }
    }
}
