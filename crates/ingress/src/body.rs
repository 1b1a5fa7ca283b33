//! How is a request's body read without trusting the one who sends it?

use crate::head::Progress;
use crate::reply::Turned;
use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use contract::{Answer, Flaw, Invalid, Param};
use futures_util::StreamExt as _;
use std::time::Duration;

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    /// From the end of the head to the end of the body. actix's own timeout covers the head alone.
    pub(crate) time: Duration,
}

pub(crate) async fn read(
    http: &HttpRequest,
    payload: Payload,
    limits: &Limits,
) -> Result<Bytes, Turned> {
    check_head(http.headers(), limits)?;
    let body = tokio::time::timeout(limits.time, collect(payload, limits.bytes)).await;
    let body = body.map_err(|_| Turned::from(Answer::SlowBody))??;
    if let Some(progress) = http.conn_data::<Progress>() {
        progress.whole(&body);
    }
    Ok(body)
}

fn check_head(headers: &HeaderMap, limits: &Limits) -> Result<(), Turned> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text(CONTENT_TYPE).is_some_and(|value| !is_json(value)) {
        return Err(Answer::UnsupportedType.into());
    }
    // A compressed body could be a bomb, and no caller needs it.
    if text(CONTENT_ENCODING).is_some_and(|value| !value.trim().eq_ignore_ascii_case("identity")) {
        return Err(Answer::UnsupportedType.into());
    }
    let announced = text(CONTENT_LENGTH).and_then(|value| value.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).is_ok_and(|it| it <= limits.bytes)) {
        return Ok(());
    }
    if announced.is_some() {
        return Err(Answer::TooLarge {
            max_bytes: limits.bytes,
        }
        .into());
    }
    Ok(())
}

/// `application/json` and its `+json` relatives; UTF-8 is the only charset JSON has (RFC 8259, 8.1).
fn is_json(value: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    json && parts.all(|parameter| {
        let parameter = parameter.to_ascii_lowercase().replace('"', "");
        !parameter.starts_with("charset=") || matches!(&parameter[8..], "utf-8" | "utf8")
    })
}

async fn collect(mut payload: Payload, most: usize) -> Result<Bytes, Turned> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
        if first.len() + whole.len() + chunk.len() > most {
            return Err(Answer::TooLarge { max_bytes: most }.into());
        }
        // The usual body comes in one piece and is not copied.
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

fn broken(error: &PayloadError) -> Turned {
    tracing::debug!(%error, "a request body broke off");
    Answer::Invalid(Invalid::Malformed(
        Param::Body,
        Flaw::Syntax { line: 1, column: 1 },
    ))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_taken() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/problem+json",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "text/plain",
            "",
            "application/json; charset=gbk",
            "application/xml",
            "json",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
