//! What may a caller ask for, and what exactly is wrong with what this one asked?

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::body;
use crate::fields::known_fields;
use crate::{Flaw, Invalid, Options, Param};

#[cfg(test)]
mod tests;

/// The names in the contract's order, which decides what is named first.
const NAMES: [&str; 7] = [
    "callback_url",
    "callee_no",
    "app_id",
    "caller_no",
    "message_type",
    "request_message",
    "options",
];

/// The most bytes of `app_id`, `caller_no`, `callee_no` and `message_type`.
const MOST_TEXT_BYTES: usize = 128;

/// The most bytes of `callback_url`.
const MOST_URL_BYTES: usize = 2048;

/// What the operator lets in beyond the contract's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Let in a blank `message_type`, as the original's sample shows it. Absent and null stay
    /// missing.
    pub accept_blank_message_type: bool,
}

/// A callback that somebody asks for, by the body of `POST /api/callback`.
///
/// Texts are as the caller wrote them, not trimmed. `callback_url` or `callee_no` is there, or
/// both; whether the URL is a URL and the callee is registered is not known yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The URL to call; at most 2,048 bytes, no control characters. Wins over `callee_no`.
    pub callback_url: Option<String>,
    /// The number of the party to call, or a mere label beside a `callback_url`.
    pub callee_no: Option<String>,
    /// The caller's app.
    pub app_id: String,
    /// The number of the calling party.
    pub caller_no: Option<String>,
    /// What kind of message it is, in the caller's own terms.
    pub message_type: String,
    /// The JSON object for the target, byte for byte: a slice of the body that was parsed.
    pub request_message: Bytes,
    /// The caller's wishes.
    pub options: Options,
}

impl Request {
    /// Reads a request's body.
    ///
    /// # Errors
    /// First what is wrong with the body as a whole, then the first missing parameter in the
    /// contract's order, then the first malformed one.
    pub fn parse(body: &Bytes, rules: &Rules) -> Result<Self, Invalid> {
        let json = body::readable(body).map_err(malformed(Param::Body))?;
        let [
            callback_url,
            callee_no,
            app_id,
            caller_no,
            message_type,
            request_message,
            options,
        ] = known_fields(json, &NAMES)
            .map_err(|error| body::flaw(json, &error))
            .map_err(malformed(Param::Body))?;

        let callback_url = callback_url.filled_text();
        let callee_no = callee_no.filled_text();
        let app_id = app_id.filled_text();
        let message_type = if rules.accept_blank_message_type {
            message_type.text()
        } else {
            message_type.filled_text()
        };
        let request_message = request_message.object();

        for (missing, param) in [
            (
                is_missing(&callback_url) && is_missing(&callee_no),
                Param::CallbackUrlOrCalleeNo,
            ),
            (is_missing(&app_id), Param::AppId),
            (is_missing(&message_type), Param::MessageType),
            (is_missing(&request_message), Param::RequestMessage),
        ] {
            if missing {
                return Err(Invalid::Missing(param));
            }
        }

        // A struct's fields are evaluated as written: in the contract's order.
        Ok(Self {
            callback_url: optional(callback_url, Param::CallbackUrl, url)?,
            callee_no: optional(callee_no, Param::CalleeNo, short)?,
            app_id: required(app_id, Param::AppId, short)?,
            caller_no: optional(caller_no.filled_text(), Param::CallerNo, short)?,
            message_type: required(message_type, Param::MessageType, short)?,
            request_message: required(request_message, Param::RequestMessage, |message| {
                Ok(body.slice_ref(message.get().as_bytes()))
            })?,
            options: Options::parse(options)?,
        })
    }
}

/// Shows no payload, and no URL: its query string may hold a secret.
impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("app_id", &self.app_id)
            .field("callee_no", &self.callee_no)
            .field("message_type", &self.message_type)
            .field("request_message_bytes", &self.request_message.len())
            .finish_non_exhaustive()
    }
}

/// What a field holds: a flaw, nothing, or something.
type Read<T> = Result<Option<T>, Flaw>;

fn is_missing<T>(read: &Read<T>) -> bool {
    matches!(read, Ok(None))
}

fn malformed(param: Param) -> impl Fn(Flaw) -> Invalid {
    move |flaw| Invalid::Malformed(param, flaw)
}

fn optional<T, U>(
    read: Read<T>,
    param: Param,
    check: impl Fn(T) -> Result<U, Flaw>,
) -> Result<Option<U>, Invalid> {
    read.and_then(|value| value.map(check).transpose())
        .map_err(malformed(param))
}

fn required<T, U>(
    read: Read<T>,
    param: Param,
    check: impl Fn(T) -> Result<U, Flaw>,
) -> Result<U, Invalid> {
    optional(read, param, check)?.ok_or(Invalid::Missing(param))
}

fn short(text: Cow<'_, str>) -> Result<String, Flaw> {
    if text.len() > MOST_TEXT_BYTES {
        return Err(Flaw::TooLong {
            max: MOST_TEXT_BYTES,
        });
    }
    if text.chars().any(char::is_control) {
        return Err(Flaw::ControlCharacter);
    }
    Ok(text.into_owned())
}

fn url(text: Cow<'_, str>) -> Result<String, Flaw> {
    if text.len() > MOST_URL_BYTES {
        return Err(Flaw::UrlTooLong {
            max: MOST_URL_BYTES,
        });
    }
    if text.chars().any(char::is_control) {
        return Err(Flaw::UrlControlCharacter);
    }
    Ok(text.into_owned())
}
