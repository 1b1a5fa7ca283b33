//! The caller's request: parsing and checking the body of `POST /api/callback`.
//!
//! - `body.rs`: whether the body can be parsed safely, and where its syntax is wrong.
//! - `depth.rs`: the nesting depth of a JSON text.
//! - `fields.rs`: the fields of a JSON object, with the bytes of their values unchanged.
//! - `options/`: the object `options`, and the names in it that are not known.
//! - `headers.rs`: `options.headers`.
//! - `prefer.rs`: the preference `wait` of the header `Prefer`.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

mod body;
mod depth;
pub(crate) mod fields;
mod headers;
pub(crate) mod options;
mod prefer;

#[cfg(test)]
mod tests;

pub use options::Options;
pub use prefer::prefer_wait;

use crate::error::{Invalid, Param, ParamError};
use fields::known_fields;

/// The fields in the contract's order: the first missing one is named.
const NAMES: [&str; 7] = [
    "callback_url",
    "callee_no",
    "app_id",
    "caller_no",
    "message_type",
    "request_message",
    "options",
];

/// The maximum length in bytes of `app_id`, `caller_no`, `callee_no` and `message_type`.
const MAX_TEXT_BYTES: usize = 128;

/// The maximum length in bytes of `callback_url`.
const MAX_URL_BYTES: usize = 2048;

/// What the operator accepts beyond the contract's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Accept a blank `message_type`, as in the original contract's sample. Absent and null are
    /// still missing.
    pub accept_blank_message_type: bool,
    /// Refuse a request with an option that the gateway does not know, instead of ignoring it.
    pub strict_options: bool,
}

/// The body of `POST /api/callback`, checked.
///
/// Strings are as the caller wrote them, not trimmed. `callback_url`, `callee_no` or both are
/// present. Whether the URL is valid and the callee registered is checked later.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The URL to call; at most 2,048 bytes, no control characters. Takes precedence over
    /// `callee_no`.
    pub callback_url: Option<String>,
    /// The number of the callee; only a label if there is a `callback_url`.
    pub callee_no: Option<String>,
    /// The caller's app.
    pub app_id: String,
    /// The caller's number.
    pub caller_no: Option<String>,
    /// The type of message, in the caller's terms.
    pub message_type: String,
    /// The JSON object for the target, byte for byte: a slice of the parsed body.
    pub request_message: Bytes,
    /// The caller's options.
    pub options: Options,
    /// The names of options that are not known and were ignored, for a header of the answer: visible
    /// ASCII and spaces, at most 8 names.
    pub ignored_options: Option<String>,
}

impl Request {
    /// Parses a request's body.
    ///
    /// # Errors
    /// What is wrong with the body as a whole, else the first missing parameter in the contract's
    /// order, else the first malformed one.
    pub fn parse(body: &Bytes, rules: &Rules) -> Result<Self, Invalid> {
        let json = body::safe_text(body)?;
        let [
            callback_url,
            callee_no,
            app_id,
            caller_no,
            message_type,
            request_message,
            options,
        ] = known_fields(json, &NAMES)
            .map_err(|error| body::param_error(json, &error))
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

        // Fields are evaluated in the order written here, which is the contract's.
        let mut request = Self {
            callback_url: optional(callback_url, Param::CallbackUrl, url)?,
            callee_no: optional(callee_no, Param::CalleeNo, short)?,
            app_id: required(app_id, Param::AppId, short)?,
            caller_no: optional(caller_no.filled_text(), Param::CallerNo, short)?,
            message_type: required(message_type, Param::MessageType, short)?,
            request_message: required(request_message, Param::RequestMessage, |message| {
                Ok(body.slice_ref(message.get().as_bytes()))
            })?,
            options: Options::default(),
            ignored_options: None,
        };
        let (options, unknown) = Options::parse(options)?;
        let strict = rules.strict_options;
        if let Some(name) = unknown.first().filter(|_| strict) {
            let error = ParamError::OptionUnknown {
                name: name.to_owned(),
            };
            return Err(Invalid::Malformed(Param::Options, error));
        }
        request.options = options;
        request.ignored_options = unknown.listed();
        Ok(request)
    }
}

/// Shows neither payload nor URL: a query string may hold a secret.
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

/// The value of a field, if it is present.
type FieldValue<T> = Result<Option<T>, ParamError>;

fn is_missing<T>(value: &FieldValue<T>) -> bool {
    matches!(value, Ok(None))
}

fn malformed(param: Param) -> impl Fn(ParamError) -> Invalid {
    move |error| Invalid::Malformed(param, error)
}

fn optional<T, U>(
    value: FieldValue<T>,
    param: Param,
    check: impl Fn(T) -> Result<U, ParamError>,
) -> Result<Option<U>, Invalid> {
    value
        .and_then(|value| value.map(check).transpose())
        .map_err(malformed(param))
}

fn required<T, U>(
    value: FieldValue<T>,
    param: Param,
    check: impl Fn(T) -> Result<U, ParamError>,
) -> Result<U, Invalid> {
    optional(value, param, check)?.ok_or(Invalid::Missing(param))
}

fn short(text: Cow<'_, str>) -> Result<String, ParamError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ParamError::TooLong {
            max: MAX_TEXT_BYTES,
        });
    }
    if text.chars().any(char::is_control) {
        return Err(ParamError::ControlCharacter);
    }
    Ok(text.into_owned())
}

fn url(text: Cow<'_, str>) -> Result<String, ParamError> {
    if text.len() > MAX_URL_BYTES {
        return Err(ParamError::UrlTooLong { max: MAX_URL_BYTES });
    }
    if text.chars().any(char::is_control) {
        return Err(ParamError::UrlControlCharacter);
    }
    Ok(text.into_owned())
}
