//! The gateway's answers: HTTP status, code and sentence.

use std::borrow::Cow;

use serde::Serialize;
use uuid::Uuid;

use super::Language;
use crate::error::Invalid;
use crate::json::to_json;

#[cfg(test)]
mod tests;

/// Why a body is not taken as JSON, by its headers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsupportedBody {
    /// `Content-Type` names no JSON.
    Type,
    /// `Content-Type` names another charset than UTF-8.
    Charset,
    /// `Content-Encoding`: the body is compressed.
    Encoding,
}

impl UnsupportedBody {
    fn chinese(self) -> &'static str {
        match self {
            Self::Type => "请求体类型必须是application/json",
            Self::Charset => "请求体的字符集（charset）必须是UTF-8",
            Self::Encoding => "不支持压缩的请求体，请去掉Content-Encoding并发送未压缩的内容",
        }
    }

    fn english(self) -> &'static str {
        match self {
            Self::Type => "the request body must be application/json",
            Self::Charset => "the charset of the request body must be UTF-8",
            Self::Encoding => {
                "a compressed request body is not supported, send it without Content-Encoding"
            }
        }
    }
}

/// Every answer of the gateway to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Durably queued; with a wait: delivered.
    Accepted,
    /// Not delivered yet; it will be retried.
    Retrying,
    /// Not delivered, and not retried: dead-lettered, expired or cancelled.
    Failed,
    /// A parameter is missing or malformed.
    Invalid(Invalid),
    /// The caller did not prove its identity.
    Unauthorized,
    /// The caller is known, but not allowed to do this.
    Forbidden,
    /// No such callback or path.
    NotFound,
    /// The path does not support this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The idempotency key was used before, with another body.
    Conflict,
    /// The body is over the limit.
    TooLarge {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The body is not declared as plain JSON in UTF-8.
    UnsupportedType(UnsupportedBody),
    /// Over the rate limit, or too many requests in flight.
    TooManyRequests {
        /// Seconds to wait before the next request.
        retry_after: u32,
    },
    /// The broker did not confirm the message.
    Unavailable,
    /// An internal error.
    Internal,
    /// The request needs a journal, and none is configured.
    NoJournal,
}

impl Answer {
    /// The [code](Answer::code) of every answer to a request that is rejected.
    pub const REJECTION_CODES: [&str; 12] = [
        "400", "401", "403", "404", "405", "408", "409", "413", "415", "429", "500", "501",
    ];

    /// The HTTP status, unless the operator has configured `always_200`.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Accepted | Self::Failed => 200,
            Self::Retrying => 202,
            Self::Invalid(_) => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTimeout => 408,
            Self::Conflict => 409,
            Self::TooLarge { .. } => 413,
            Self::UnsupportedType(_) => 415,
            Self::TooManyRequests { .. } => 429,
            Self::Internal => 500,
            Self::NoJournal => 501,
            Self::Unavailable => 503,
        }
    }

    /// The body's `code`; 000, 202, 400, 500 and 500500 are the original contract's.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Accepted => "000",
            Self::Retrying => "202",
            Self::Failed => "500500",
            Self::Invalid(_) => "400",
            Self::Unauthorized => "401",
            Self::Forbidden => "403",
            Self::NotFound => "404",
            Self::MethodNotAllowed => "405",
            Self::BodyTimeout => "408",
            Self::Conflict => "409",
            Self::TooLarge { .. } => "413",
            Self::UnsupportedType(_) => "415",
            Self::TooManyRequests { .. } => "429",
            Self::Unavailable | Self::Internal => "500",
            Self::NoJournal => "501",
        }
    }

    /// The body's `msg`.
    pub fn msg(&self, language: Language) -> Cow<'static, str> {
        match language {
            Language::Chinese => self.chinese(),
            Language::English => self.english(),
        }
    }

    /// The whole body: `request_id` if there is one, `code`, `msg`.
    ///
    /// The contract gives a `request_id` exactly if a request was accepted or may have been.
    pub fn body(&self, request_id: Option<Uuid>, language: Language) -> Vec<u8> {
        /// The original contract's envelope, with keys in its order.
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            request_id: Option<Uuid>,
            code: &'static str,
            msg: &'a str,
        }
        let msg = self.msg(language);
        to_json(
            &Body {
                request_id,
                code: self.code(),
                msg: &msg,
            },
            96 + msg.len(),
        )
    }

    fn chinese(&self) -> Cow<'static, str> {
        match self {
            Self::Accepted => "成功".into(),
            Self::Retrying => "访问目标路径重试中".into(),
            Self::Failed => "访问目标路径失败，请稍后再试或联系管理员".into(),
            Self::Invalid(invalid) => invalid.msg(Language::Chinese).into(),
            Self::Unauthorized => "身份认证失败，请检查认证信息".into(),
            Self::Forbidden => "没有权限执行此操作".into(),
            Self::NotFound => "请求的资源不存在".into(),
            Self::MethodNotAllowed => "不支持该请求方法".into(),
            Self::BodyTimeout => "接收请求体超时，请重新发送".into(),
            Self::Conflict => "该Idempotency-Key已用于内容不同的请求".into(),
            Self::TooLarge { max_bytes } => format!("请求体不能超过{max_bytes}字节").into(),
            Self::UnsupportedType(body) => body.chinese().into(),
            Self::TooManyRequests { .. } => "请求过于频繁，请稍后再试".into(),
            Self::Unavailable | Self::Internal => "服务调用异常，请稍后再试或联系管理员".into(),
            Self::NoJournal => "网关未启用回调记录，不支持此操作".into(),
        }
    }

    fn english(&self) -> Cow<'static, str> {
        match self {
            Self::Accepted => "success".into(),
            Self::Retrying => "the target has not been reached yet, retrying".into(),
            Self::Failed => {
                "the callback could not be delivered, try again later or contact the administrator"
                    .into()
            }
            Self::Invalid(invalid) => invalid.msg(Language::English).into(),
            Self::Unauthorized => "authentication failed, check your credentials".into(),
            Self::Forbidden => "you are not allowed to do this".into(),
            Self::NotFound => "the requested resource does not exist".into(),
            Self::MethodNotAllowed => "this request method is not supported".into(),
            Self::BodyTimeout => "the request body did not arrive in time, send it again".into(),
            Self::Conflict => "this Idempotency-Key was used for a different request".into(),
            Self::TooLarge { max_bytes } => {
                format!("the request body must not be larger than {max_bytes} bytes").into()
            }
            Self::UnsupportedType(body) => body.english().into(),
            Self::TooManyRequests { .. } => "too many requests, try again later".into(),
            Self::Unavailable | Self::Internal => {
                "the service failed, try again later or contact the administrator".into()
            }
            Self::NoJournal => "the gateway keeps no journal, so this is not supported".into(),
        }
    }
}
