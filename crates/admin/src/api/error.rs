//! Errors of the API, answered as problem details (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use journal::JournalError;
use runtime::http::json_line;
use serde_json::{Value, json};

use crate::config::Role;
use crate::doctor::said::{Said, Spoken as _, say};

/// The media type of a problem (RFC 9457, section 3).
const PROBLEM_JSON: &str = "application/problem+json";
/// `Retry-After` of a 429: the answers that are delayed are sent by then.
const RETRY_AFTER_SECONDS: u32 = 2;
/// What a problem's `type` starts with; its `code` follows.
const TYPE_PREFIX: &str = "urn:problem-type:ringback:";

/// Defines the codes: name in JSON, HTTP status, and the title that all problems of a code share.
macro_rules! problem_codes {
    ($($variant:ident $name:literal $status:ident $title:literal;)*) => {
        /// What kind of error it is, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum ProblemCode {
            $($variant,)*
        }

        impl ProblemCode {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(crate) const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)*
                }
            }

            pub(super) const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }
        }
    };
}

problem_codes! {
    InvalidParameter "invalid_parameter" BAD_REQUEST "A parameter cannot be used";
    InvalidBody "invalid_body" BAD_REQUEST "The body cannot be used";
    Unauthenticated "unauthenticated" UNAUTHORIZED "A token is required";
    InsufficientRole "insufficient_role" FORBIDDEN "The token's role does not grant this";
    ForeignOrigin "foreign_origin" FORBIDDEN "The request may come from another site's page";
    UnknownRoute "unknown_route" NOT_FOUND "No such route";
    UnknownCallback "unknown_callback" NOT_FOUND "No such callback";
    UnknownCallee "unknown_callee" NOT_FOUND "No such callee";
    UnknownMessage "unknown_message" NOT_FOUND "No such message";
    NotPaused "not_paused" NOT_FOUND "Not paused";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The path does not support this method";
    NotADeadLetter "not_a_dead_letter" CONFLICT "The callback is not a dead letter";
    NotKept "not_kept" CONFLICT "The message is not kept";
    QueuesNotEmpty "queues_not_empty" CONFLICT "The queues hold messages";
    AlreadyRunning "already_running" CONFLICT "The same bulk act runs already";
    TooManyRunning "too_many_running" CONFLICT "Too many bulk acts run";
    AlreadyEnded "already_ended" CONFLICT "The callback has ended";
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large";
    TooManyFailures "too_many_failures" TOO_MANY_REQUESTS "Too many wrong tokens";
    NotJson "not_json" UNSUPPORTED_MEDIA_TYPE "The body is not declared as JSON";
    Internal "internal" INTERNAL_SERVER_ERROR "Internal error";
    NoJournal "no_journal" NOT_IMPLEMENTED "No journal is configured";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The journal is unavailable";
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// Any code, with its own sentence.
    Rejected(ProblemCode, Said),
    /// No token, or an unknown one.
    Unauthenticated,
    /// The token's roles do not grant it: this one is needed.
    Forbidden(Role),
    /// Methods that the path supports.
    MethodNotAllowed(String),
    NotJson,
    /// The maximum size of a body, in bytes.
    BodyTooLarge(usize),
    NoJournal,
    /// The journal or the broker is unavailable.
    Unavailable(Said),
    /// The log says what failed.
    Internal,
}

impl ApiError {
    pub(crate) const fn rejected(code: ProblemCode, sentence: Said) -> Self {
        Self::Rejected(code, sentence)
    }

    pub(crate) const fn parameter(sentence: Said) -> Self {
        Self::rejected(ProblemCode::InvalidParameter, sentence)
    }

    /// Of a body that only programs send: English is enough.
    pub(crate) fn body(sentence: impl Into<Said>) -> Self {
        Self::rejected(ProblemCode::InvalidBody, sentence.into())
    }

    pub(crate) fn unknown_callback(request_id: uuid::Uuid) -> Self {
        let sentence = say!(
            "the journal knows no callback {request_id}",
            "回调记录库中没有回调 {request_id}"
        );
        Self::rejected(ProblemCode::UnknownCallback, sentence)
    }

    pub(crate) const fn code(&self) -> ProblemCode {
        match self {
            Self::Rejected(code, _) => *code,
            Self::Unauthenticated => ProblemCode::Unauthenticated,
            Self::Forbidden(_) => ProblemCode::InsufficientRole,
            Self::MethodNotAllowed(_) => ProblemCode::MethodNotAllowed,
            Self::NotJson => ProblemCode::NotJson,
            Self::BodyTooLarge(_) => ProblemCode::BodyTooLarge,
            Self::NoJournal => ProblemCode::NoJournal,
            Self::Unavailable(_) => ProblemCode::Unavailable,
            Self::Internal => ProblemCode::Internal,
        }
    }
}

impl ApiError {
    /// What is wrong, in a sentence.
    pub(crate) fn said(&self) -> Said {
        match self {
            Self::Rejected(_, sentence) | Self::Unavailable(sentence) => sentence.clone(),
            Self::Unauthenticated => say!(
                "a bearer token is required: admin.token, or one of admin.tokens",
                "需要令牌（Bearer）：admin.token，或 admin.tokens 中的一个"
            ),
            Self::Forbidden(role) => say!(
                "this requires a token with the role {role}",
                "需要具有 {role} 角色的令牌"
            ),
            Self::MethodNotAllowed(allowed) => say!(
                "this path supports {allowed} only",
                "此路径只支持 {allowed}"
            ),
            Self::NotJson => say!(
                "the content-type must be application/json",
                "content-type 必须是 application/json"
            ),
            Self::BodyTooLarge(limit) => say!(
                "the body is larger than {limit} bytes",
                "内容超过 {limit} 字节"
            ),
            Self::NoJournal => say!(
                "no journal is configured: set journal.url (RINGBACK__JOURNAL__URL)",
                "没有配置回调记录库：请设置 journal.url（RINGBACK__JOURNAL__URL）"
            ),
            Self::Internal => say!(
                "the request failed; the log says why",
                "请求失败，原因见日志"
            ),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said().english())
    }
}

impl ProblemCode {
    /// The problem with this detail, as it is answered.
    fn problem(self, detail: &str) -> Value {
        json!({
            "type": format!("{TYPE_PREFIX}{}", self.as_str()),
            "title": self.title(),
            "status": self.status().as_u16(),
            "detail": detail,
            "code": self.as_str(),
        })
    }

    /// One for the OpenAPI document.
    pub(super) fn example(self) -> Value {
        self.problem(self.title())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code().status()
    }

    fn error_response(&self) -> HttpResponse {
        let code = self.code();
        let mut response = HttpResponse::build(code.status());
        response.insert_header((CACHE_CONTROL, "no-store"));
        response.insert_header((CONTENT_TYPE, PROBLEM_JSON));
        if *self == Self::Unauthenticated {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        if code == ProblemCode::TooManyFailures {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        if let Self::MethodNotAllowed(allowed) = self {
            response.insert_header((ALLOW, allowed.as_str()));
        }
        json_line(&mut response, &code.problem(&self.to_string()))
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Unavailable(reason) => Self::Unavailable(say!(
                "the journal is unavailable: {0}",
                "回调记录库不可用：{0}",
                reason
            )),
            JournalError::TooSlow(_) => Self::Unavailable(say!(
                "the journal stopped this query after 5 s, so that others do not wait: select less, by app, callee, \
                 target or time",
                "该查询超过 5 秒，已被回调记录库中止，以免影响其他查询：请按应用、被回调方、目标或时间缩小范围"
            )),
            JournalError::Incompatible(reason) => Self::Unavailable(say!(
                "the journal's schema is incompatible: {0}",
                "回调记录库的表结构不兼容：{0}",
                reason
            )),
            JournalError::Refused(_) => {
                tracing::error!(%error, "the journal refused a request");
                Self::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn an_error_is_answered_as_problem_details() {
        let response = ApiError::Forbidden(Role::Replay).error_response();
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), PROBLEM_JSON);
        let body = to_bytes(response.into_body()).await.unwrap();
        assert!(body.ends_with(b"}\n"), "{body:?}");
        let problem: Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "urn:problem-type:ringback:insufficient_role",
            "title": "The token's role does not grant this",
            "status": 403,
            "detail": "this requires a token with the role replay",
            "code": "insufficient_role",
        });
        assert_eq!(problem, expected);
    }

    #[test]
    fn the_response_says_how_to_authenticate_and_which_methods_exist() {
        let response = ApiError::Unauthenticated.error_response();
        assert_eq!(response.headers().get(WWW_AUTHENTICATE).unwrap(), "Bearer");
        let response = ApiError::MethodNotAllowed("GET, POST".to_owned()).error_response();
        assert_eq!(response.headers().get(ALLOW).unwrap(), "GET, POST");
    }

    #[test]
    fn every_code_has_a_unique_name_and_an_error_status() {
        let names: std::collections::HashSet<_> =
            ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ProblemCode::ALL.len());
        assert!(
            ProblemCode::ALL
                .iter()
                .all(|code| code.status().as_u16() >= 400)
        );
    }
}
