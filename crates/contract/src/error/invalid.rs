//! Which parameter of a request is wrong, and whether it is missing or malformed.

use std::fmt;

use super::ParamError;
use crate::response::language::Language;

/// A parameter of the request, named exactly as callers write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Param {
    /// `callback_url`.
    CallbackUrl,
    /// Either of the two that name a target. It can only be missing.
    CallbackUrlOrCalleeNo,
    /// `callee_no`.
    CalleeNo,
    /// `app_id`.
    AppId,
    /// `caller_no`.
    CallerNo,
    /// `message_type`.
    MessageType,
    /// `request_message`.
    RequestMessage,
    /// `options` as a whole.
    Options,
    /// `options.delay_seconds`.
    DelaySeconds,
    /// `options.expire_seconds`.
    ExpireSeconds,
    /// `options.max_attempts`.
    MaxAttempts,
    /// `options.timeout_seconds`.
    TimeoutSeconds,
    /// `options.headers`.
    Headers,
    /// The body as a whole.
    Body,
    /// The header `Idempotency-Key`.
    IdempotencyKey,
}

impl Param {
    /// The name shown to the caller. Only [`Param::CallbackUrlOrCalleeNo`] depends on the language.
    pub fn name(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::CallbackUrl, _) => "callback_url",
            (Self::CallbackUrlOrCalleeNo, Language::Chinese) => "callback_url或callee_no",
            (Self::CallbackUrlOrCalleeNo, Language::English) => "callback_url or callee_no",
            (Self::CalleeNo, _) => "callee_no",
            (Self::AppId, _) => "app_id",
            (Self::CallerNo, _) => "caller_no",
            (Self::MessageType, _) => "message_type",
            (Self::RequestMessage, _) => "request_message",
            (Self::Options, _) => "options",
            (Self::DelaySeconds, _) => "options.delay_seconds",
            (Self::ExpireSeconds, _) => "options.expire_seconds",
            (Self::MaxAttempts, _) => "options.max_attempts",
            (Self::TimeoutSeconds, _) => "options.timeout_seconds",
            (Self::Headers, _) => "options.headers",
            (Self::Body, _) => "body",
            (Self::IdempotencyKey, _) => "Idempotency-Key",
        }
    }
}

/// The name in the default language, Chinese.
impl fmt::Display for Param {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name(Language::Chinese))
    }
}

/// Why a request is answered 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The parameter is absent, null or blank.
    Missing(Param),
    /// The parameter is present, but cannot be used.
    Malformed(Param, ParamError),
}

impl Invalid {
    /// The parameter that is named to the caller.
    pub fn param(&self) -> Param {
        match self {
            Self::Missing(param) | Self::Malformed(param, _) => *param,
        }
    }

    /// The sentence for the caller; the Chinese one is the original contract's.
    pub fn msg(&self, language: Language) -> String {
        let name = self.param().name(language);
        match (self, language) {
            (Self::Missing(_), Language::Chinese) => format!("参数{name}不能为空"),
            (Self::Missing(_), Language::English) => format!("parameter {name} must not be empty"),
            (Self::Malformed(_, error), Language::Chinese) => {
                format!("参数{name}格式错误: {}", error.reason(language))
            }
            (Self::Malformed(_, error @ ParamError::AddressRefused { .. }), Language::English) => {
                format!(
                    "parameter {name} is not allowed: {}",
                    error.reason(language)
                )
            }
            (Self::Malformed(_, error), Language::English) => {
                format!("parameter {name} is malformed: {}", error.reason(language))
            }
        }
    }
}

/// The English sentence, for logs.
impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.msg(Language::English))
    }
}

impl std::error::Error for Invalid {}
