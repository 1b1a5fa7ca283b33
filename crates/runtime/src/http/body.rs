//! Reads a JSON request body within a size and a time limit.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

/// How large and how slow a body may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The largest body, in bytes.
    pub max_bytes: usize,
    /// From the end of the head to the end of the body. actix's own timeout covers the head only.
    pub timeout: Duration,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Its content type is not JSON.
    UnsupportedType,
    /// Its content type names another charset than UTF-8.
    UnsupportedCharset,
    /// It has a content encoding, so it is compressed.
    Compressed,
    /// It is larger than the limit.
    TooLarge {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// It did not arrive in time.
    TimedOut,
    /// The connection ended, or the framing broke, before its end.
    Incomplete,
}

/// Reads the body of a request whose payload is JSON. A missing content type is taken as JSON.
///
/// # Errors
/// [`BodyError`].
pub async fn read_json(
    request: &HttpRequest,
    payload: Payload,
    limits: BodyLimits,
) -> Result<Bytes, BodyError> {
    check_headers(request.headers(), limits.max_bytes)?;
    let body = tokio::time::timeout(limits.timeout, collect(payload, limits.max_bytes)).await;
    body.map_err(|_| BodyError::TimedOut)?
}

fn check_headers(headers: &HeaderMap, max_bytes: usize) -> Result<(), BodyError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    text(CONTENT_TYPE).map_or(Ok(()), check_type)?;
    // A compressed body could be a decompression bomb, and no caller needs one.
    if text(CONTENT_ENCODING).is_some_and(|value| !value.trim().eq_ignore_ascii_case("identity")) {
        return Err(BodyError::Compressed);
    }
    let declared = text(CONTENT_LENGTH).and_then(|value| value.parse::<u64>().ok());
    let fits = |length| usize::try_from(length).is_ok_and(|length| length <= max_bytes);
    if declared.is_some_and(|length| !fits(length)) {
        return Err(BodyError::TooLarge { max_bytes });
    }
    Ok(())
}

/// `application/json` and `application/*+json`. UTF-8 is the only charset of JSON (RFC 8259, 8.1).
fn check_type(value: &str) -> Result<(), BodyError> {
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if !json {
        return Err(BodyError::UnsupportedType);
    }
    let is_utf_8 = |parameter: &str| {
        let parameter = parameter.to_ascii_lowercase().replace('"', "");
        let charset = parameter.strip_prefix("charset=");
        charset.is_none_or(|charset| matches!(charset, "utf-8" | "utf8"))
    };
    if parts.all(is_utf_8) {
        Ok(())
    } else {
        Err(BodyError::UnsupportedCharset)
    }
}

async fn collect(mut payload: Payload, max_bytes: usize) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            tracing::debug!(%error, "request body is incomplete");
            BodyError::Incomplete
        })?;
        if first.len() + whole.len() + chunk.len() > max_bytes {
            return Err(BodyError::TooLarge { max_bytes });
        }
        // Most bodies arrive in one chunk and are not copied.
        if first.is_empty() && whole.is_empty() {
            first = chunk;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&chunk);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_supported() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/problem+json",
        ] {
            assert_eq!(check_type(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("text/plain", BodyError::UnsupportedType),
            ("text/plain; charset=gbk", BodyError::UnsupportedType),
            ("", BodyError::UnsupportedType),
            ("application/xml", BodyError::UnsupportedType),
            ("json", BodyError::UnsupportedType),
            (
                "application/json; charset=gbk",
                BodyError::UnsupportedCharset,
            ),
            ("application/json; charset=", BodyError::UnsupportedCharset),
        ] {
            assert_eq!(check_type(bad), Err(error), "{bad}");
        }
    }
}
