//! The middleware around all pages: who has signed in, no requests of other sites, and the headers of
//! every answer.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, HttpResponse};
use url::form_urlencoded::Serializer;

use super::visit::{Visit, language_of};
use super::{assets, cookies, page, paths, query};
use crate::api::access::OperatorAccess;
use crate::api::error::{ApiError, ProblemCode};
use crate::doctor::said::say;

/// Nothing but our own style sheet, icon and script files, requests and forms to ourselves.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                      img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Of every answer. `same-origin`, not `no-referrer`: under that a browser sends `Origin: null` with the
/// console's own forms, which could then not be told from another site's. Other sites get neither.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether a path belongs to the console, not to the API.
pub(crate) fn owns(path: &str) -> bool {
    matches!(path, "/" | "/console") || path.starts_with("/console/")
}

/// The middleware.
pub(super) async fn guard(
    access: Data<OperatorAccess>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let visit = visit(&request, access.is_open());
    let mut response = match admit(&access, &request, visit) {
        Ok(visit) => {
            request.extensions_mut().insert(visit);
            next.call(request).await?.map_into_left_body()
        }
        Err(response) => request.into_response(*response).map_into_right_body(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Scripts of a fixed version have said how long they may be kept.
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

fn visit(request: &ServiceRequest, is_open: bool) -> Visit {
    let headers = request.headers();
    let path = match *request.method() == Method::GET {
        true => request.uri().path_and_query().map(ToString::to_string),
        false => None,
    };
    let path = path.filter(|path| query::own_path(path).is_some());
    Visit {
        language: language_of(headers),
        operator: None,
        is_open,
        peer: request.peer_addr().map(|peer| peer.ip()),
        path: path.unwrap_or_else(|| paths::FIRST_PAGE.to_owned()),
        is_secure: is_secure(headers),
    }
}

/// The visit with its operator, or the answer that refuses it.
fn admit(
    access: &OperatorAccess,
    request: &ServiceRequest,
    mut visit: Visit,
) -> Result<Visit, Box<HttpResponse>> {
    let (headers, path) = (request.headers(), request.path());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && let Err(error) = check_form(headers) {
        let error = access.reject(error, visit.peer);
        return Err(Box::new(page::error(&visit, &error)));
    }
    if assets::is_asset(path) {
        return Ok(visit);
    }
    match access.operator(headers, cookies::session(headers), visit.peer) {
        Ok(operator) => visit.operator = operator,
        Err(error) => return Err(Box::new(page::error(&visit, &error))),
    }
    if visit.operator.is_some() || paths::needs_no_sign_in(path) {
        return Ok(visit);
    }
    let mut next = Serializer::new(String::new());
    next.append_pair("next", &visit.path);
    let sign_in = format!("{}?{}", paths::SIGN_IN, next.finish());
    let mut response = match headers.contains_key(HX_REQUEST) {
        // A part of a page: the browser is to leave all of it.
        true => {
            let mut response = HttpResponse::Unauthorized();
            response.insert_header((HX_REDIRECT, sign_in));
            response
        }
        false => {
            let mut response = HttpResponse::SeeOther();
            response.insert_header((LOCATION, sign_in));
            response
        }
    };
    Err(Box::new(response.finish()))
}

/// Checks that a form was sent by a page of the console.
fn check_form(headers: &HeaderMap) -> Result<(), ApiError> {
    let media_type = text(headers, &CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let is_form = media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    if !is_form || !is_same_origin(headers) {
        return Err(ApiError::rejected(
            ProblemCode::ForeignOrigin,
            say!(
                "the form was not sent by a page of this console, as far as its headers tell",
                "从请求头看，该表单不是由本控制台的页面发出的"
            ),
        ));
    }
    Ok(())
}

/// Whether a browser says that the request comes from a page of this very origin. A request that says
/// nothing of it is no browser's of today, and is refused.
fn is_same_origin(headers: &HeaderMap) -> bool {
    // Sent over TLS and on loopback; a page cannot set it.
    if headers.contains_key(SEC_FETCH_SITE) {
        return text(headers, &SEC_FETCH_SITE) == Some("same-origin");
    }
    let origin = text(headers, &ORIGIN).and_then(|origin| origin.split_once("://"));
    match (origin, text(headers, &HOST)) {
        (Some((_, origin)), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// Whether the browser speaks TLS, to a proxy in front of this listener. Who lies about it gets a cookie
/// that their own browser does not send back.
fn is_secure(headers: &HeaderMap) -> bool {
    let origin = text(headers, &ORIGIN).is_some_and(|it| it.starts_with("https://"));
    origin || text(headers, &X_FORWARDED_PROTO) == Some("https")
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        lines.iter().map(pair).collect()
    }

    #[test]
    fn the_console_owns_its_paths_and_the_api_all_others() {
        for path in ["/", "/console", "/console/", "/console/a/b"] {
            assert!(owns(path), "{path}");
        }
        for path in [
            "",
            "/console.x",
            "/consoles/",
            "/admin/v1/targets",
            "//console/",
        ] {
            assert!(!owns(path), "{path}");
        }
    }

    #[test]
    fn only_a_form_of_this_origin_is_taken() {
        let form = (
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        );
        let host = ("host", "gateway:5109");
        for good in [
            &[form, host, ("sec-fetch-site", "same-origin")][..],
            &[form, host, ("origin", "http://gateway:5109")],
            // Behind a proxy that changes `Host`.
            &[
                form,
                ("host", "inner"),
                ("origin", "https://gateway"),
                ("sec-fetch-site", "same-origin"),
            ],
        ] {
            assert!(check_form(&headers(good)).is_ok(), "{good:?}");
        }
        for bad in [
            &[form, host][..],
            &[
                form,
                host,
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://gateway:5109"),
            ],
            &[form, host, ("sec-fetch-site", "same-site")],
            &[form, host, ("sec-fetch-site", "none")],
            &[form, host, ("origin", "null")],
            &[form, host, ("origin", "http://evil.example")],
            &[form, host, ("origin", "http://gateway:5108")],
            &[form, ("origin", "http://gateway:5109")],
            &[host, ("origin", "http://gateway:5109")],
            &[
                ("content-type", "text/plain"),
                host,
                ("origin", "http://gateway:5109"),
            ],
        ] {
            assert!(check_form(&headers(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_cookie_is_secure_where_the_browser_speaks_tls() {
        assert!(is_secure(&headers(&[("origin", "https://gateway")])));
        assert!(is_secure(&headers(&[("x-forwarded-proto", "https")])));
        assert!(!is_secure(&headers(&[("origin", "http://gateway")])));
    }
}
