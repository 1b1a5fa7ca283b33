//! Rejected requests and their answers.

use contract::{Answer, Invalid, Param, ParamError, UnsupportedBody};
use runtime::http::BodyError;
use uuid::Uuid;

use crate::quota::Quota;

/// A request that is rejected, and the answer to it.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) answer: Answer,
    /// Present only if the callback may have been accepted nevertheless.
    pub(crate) request_id: Option<Uuid>,
    /// The app that sent it, as far as it is known.
    pub(crate) app_id: Option<String>,
    /// What the app has left, if it is over a limit of its own.
    pub(crate) quota: Option<Box<Quota>>,
}

impl Rejection {
    /// A 503 with the id. Without an id it would mean that nothing was queued.
    pub(crate) const fn unavailable(request_id: Uuid) -> Self {
        Self {
            answer: Answer::Unavailable,
            request_id: Some(request_id),
            app_id: None,
            quota: None,
        }
    }

    /// The same, with what the app has left.
    pub(crate) fn with_quota(mut self, quota: Option<Quota>) -> Self {
        self.quota = quota.map(Box::new);
        self
    }

    /// The same, of this app, unless its app is known already.
    pub(crate) fn of_app(mut self, app_id: Option<&str>) -> Self {
        if self.app_id.is_none() {
            self.app_id = app_id.map(str::to_owned);
        }
        self
    }
}

impl From<Answer> for Rejection {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            request_id: None,
            app_id: None,
            quota: None,
        }
    }
}

impl From<Invalid> for Rejection {
    fn from(invalid: Invalid) -> Self {
        Answer::Invalid(invalid).into()
    }
}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::UnsupportedType => unsupported(UnsupportedBody::Type),
            BodyError::UnsupportedCharset => unsupported(UnsupportedBody::Charset),
            BodyError::Compressed => unsupported(UnsupportedBody::Encoding),
            BodyError::TooLarge { max_bytes } => Answer::TooLarge { max_bytes }.into(),
            BodyError::TimedOut => Answer::BodyTimeout.into(),
            BodyError::Incomplete => Invalid::Malformed(Param::Body, ParamError::Incomplete).into(),
        }
    }
}

fn unsupported(body: UnsupportedBody) -> Rejection {
    Answer::UnsupportedType(body).into()
}
