//! Who may ask the operators' API?
//!
//! With a token: whoever bears it. Without one the API is on loopback alone, where every web page
//! that somebody on this machine looks at can send requests to it; three checks keep those out. A
//! page that had its own name resolve to loopback shows that name in `Host`. A page may send a form
//! or a text to any address, but JSON only with leave, which is never given. And what it may send
//! all the same names the page in `Origin`.

use std::hint::black_box;
use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use secrecy::{ExposeSecret, SecretString};

use super::refusal::Refusal;

/// The token that is asked for, if any.
pub(super) struct Door(pub(super) Option<SecretString>);

/// Lets a request in, or answers why not. The middleware before every route.
pub(super) async fn admit(
    door: web::Data<Door>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    may_enter(door.0.as_ref(), request.method(), request.headers())?;
    next.call(request).await
}

fn may_enter(
    token: Option<&SecretString>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    match token {
        Some(token) if !bears(headers, token.expose_secret()) => return Err(Refusal::NoToken),
        Some(_) => {}
        None => comes_from_here(headers)?,
    }
    if method == Method::POST && !is_json(headers) {
        return Err(Refusal::NotJson);
    }
    Ok(())
}

fn bears(headers: &HeaderMap, token: &str) -> bool {
    let shown = text(headers, &AUTHORIZATION).and_then(|value| {
        let (scheme, shown) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim())
    });
    shown.is_some_and(|shown| same(shown.as_bytes(), token.as_bytes()))
}

/// Compares in a time that does not tell where the first difference is.
fn same(shown: &[u8], token: &[u8]) -> bool {
    let different = |sum: u8, (a, b): (&u8, &u8)| black_box(sum | (a ^ b));
    shown.len() == token.len() && shown.iter().zip(token).fold(0, different) == 0
}

fn comes_from_here(headers: &HeaderMap) -> Result<(), Refusal> {
    // One that cannot be read as text is not missing.
    let local = |name: &HeaderName| match headers.get(name).map(|value| value.to_str()) {
        None => true,
        Some(value) => value.is_ok_and(|value| {
            let host = value.split_once("://").map_or(value, |(_, host)| host);
            is_loopback(host)
        }),
    };
    if !local(&HOST) {
        return Err(Refusal::Foreign(
            "without a token this is for localhost alone, and the Host header names another",
        ));
    }
    if !local(&ORIGIN) {
        return Err(Refusal::Foreign(
            "without a token this is not for pages of other sites",
        ));
    }
    Ok(())
}

/// Whether `host:port`, or `host`, is this machine by one of its own names.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address: Result<IpAddr, _> = address.unwrap_or(host).parse();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = text(headers, &CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn enter(token: Option<&str>, method: &Method, lines: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(*name).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        may_enter(token.map(SecretString::from).as_ref(), method, &headers)
    }

    fn status(token: Option<&str>, lines: &[(&str, &str)]) -> Option<Refusal> {
        enter(token, &Method::GET, lines).err()
    }

    #[test]
    fn only_the_very_token_opens() {
        let bearer = |value| status(Some("secret"), &[("authorization", value)]);
        assert_eq!(bearer("Bearer secret"), None);
        assert_eq!(bearer("bearer  secret"), None);
        for wrong in [
            "Bearer secreT",
            "Bearer secret1",
            "Bearer ",
            "secret",
            "Basic secret",
        ] {
            assert_eq!(bearer(wrong), Some(Refusal::NoToken), "{wrong}");
        }
        assert_eq!(status(Some("secret"), &[]), Some(Refusal::NoToken));
        let anywhere = [
            ("authorization", "Bearer secret"),
            ("host", "admin.example"),
        ];
        assert_eq!(status(Some("secret"), &anywhere), None);
    }

    #[test]
    fn without_a_token_the_host_must_be_this_machine() {
        for host in [
            "127.0.0.1:5109",
            "localhost",
            "LocalHost:1",
            "[::1]:5109",
            "127.9.9.9",
        ] {
            assert_eq!(status(None, &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example:5109",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "[::1",
        ] {
            let refused = status(None, &[("host", host)]);
            assert!(matches!(refused, Some(Refusal::Foreign(_))), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_kept_out() {
        let origin = |value| status(None, &[("host", "localhost:5109"), ("origin", value)]);
        assert_eq!(origin("http://localhost:5109"), None);
        for foreign in ["https://evil.example", "null"] {
            assert!(
                matches!(origin(foreign), Some(Refusal::Foreign(_))),
                "{foreign}"
            );
        }
    }

    #[test]
    fn a_post_is_json_or_nothing() {
        let post = |lines: &[_]| enter(None, &Method::POST, lines).err();
        assert_eq!(
            post(&[("content-type", "application/json; charset=utf-8")]),
            None
        );
        assert_eq!(
            post(&[("content-type", "text/plain")]),
            Some(Refusal::NotJson)
        );
        assert_eq!(post(&[]), Some(Refusal::NotJson));
    }
}
