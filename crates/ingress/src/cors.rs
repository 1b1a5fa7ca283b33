//! Web pages of the origins that the operator names may call the API (CORS).

use actix_cors::Cors;
use actix_web::http::Method;
use url::Url;

/// How long a browser may remember what it was allowed, in seconds.
const MAX_AGE_SECONDS: usize = 600;

/// What callers send and pages may not send without being allowed to.
const REQUEST_HEADERS: [&str; 10] = [
    "accept-language",
    "authorization",
    "content-type",
    "idempotency-key",
    "prefer",
    "traceparent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-callback-app-id",
];

/// What pages may read besides the body.
const ANSWER_HEADERS: [&str; 6] = [
    "allow",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-callback-warning",
];

/// The middleware for these origins.
pub(crate) fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allowed_headers(REQUEST_HEADERS)
        .expose_headers(ANSWER_HEADERS)
        .max_age(MAX_AGE_SECONDS);
    origins
        .iter()
        .fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// Whether this is an origin as browsers write it: scheme, host and a port that is not the usual one.
///
/// # Errors
/// Why it is none.
pub(crate) fn check_origin(origin: &str) -> Result<(), String> {
    let is_http = origin.starts_with("https://") || origin.starts_with("http://");
    // The parser takes characters that are in no name.
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:[]/".contains(&byte);
    // Also not parsed by the middleware: then every request would be answered 500.
    let is_written_so =
        Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == origin);
    match is_http && origin.bytes().all(allowed) && is_written_so {
        true => Ok(()),
        false => Err(format!(
            "{origin:?} is not an origin as browsers write it, such as https://orders.example or http://localhost:3000"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_and_a_host_and_nothing_else() {
        for origin in [
            "https://a.example",
            "http://localhost:3000",
            "https://[::1]:8443",
        ] {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for origin in [
            "",
            "*",
            "null",
            "a.example",
            "https://",
            "https://a.example/",
            "https://A.example",
            "https://*.example",
            "https://a.example:443",
            "http://a.example:80",
            "ftp://a.example",
            "https://user@a.example",
            "https://::1",
            "https://[",
            "https://[::1",
            "https://a.example:",
            "https://a.example:99999",
            "https://a.example//",
            "https://1.2.3",
        ] {
            assert!(check_origin(origin).is_err(), "{origin}");
        }
    }
}
