//! Tells requests of web pages of another origin from all others.
//!
//! A page may send a POST with a body of plain text to any address, without asking first. Browsers
//! then name the page's origin: always in `Origin`, and mostly how it relates to the target in
//! `Sec-Fetch-Site`. Programs send neither.
//!
//! A page whose own host name was made to resolve to this gateway (DNS rebinding) is of the same
//! origin by this rule.

use actix_web::http::header::{HOST, HeaderMap, HeaderName, ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a web page of another origin sent a request with these headers.
pub(crate) fn is_foreign_page(headers: &HeaderMap) -> bool {
    has_foreign_origin(headers) || has_foreign_site(headers)
}

/// Whether `Origin`, given once, names one of these.
pub(crate) fn is_of_origin(headers: &HeaderMap, named: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN);
    match (origins.next(), origins.next()) {
        (Some(origin), None) => named
            .iter()
            .any(|name| origin.as_bytes() == name.as_bytes()),
        _ => false,
    }
}

/// Whether `Origin` names another host or port than `Host`. `null` names none.
fn has_foreign_origin(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN);
    let Some(origin) = origins.next() else {
        return false;
    };
    let own = || {
        let (scheme, origin) = origin.to_str().ok()?.split_once("://")?;
        let host = headers.get(HOST)?.to_str().ok()?;
        Some(is_same(scheme, origin, host))
    };
    // Two are ambiguous.
    origins.next().is_some() || own() != Some(true)
}

/// Whether an origin's authority is that of `Host`. Behind a proxy that ends TLS, only the origin
/// shows the scheme, and a port that is left out is the default one of either.
fn is_same(scheme: &str, origin: &str, host: &str) -> bool {
    let default = match scheme {
        "http" => "80",
        "https" => "443",
        _ => return false,
    };
    let (origin_name, origin_port) = split_port(origin);
    let (host_name, host_port) = split_port(host);
    !host_name.is_empty()
        && origin_name.eq_ignore_ascii_case(host_name)
        && origin_port.unwrap_or(default) == host_port.unwrap_or(default)
}

/// Host and port. The colons of an IPv6 address stand in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

/// Whether `Sec-Fetch-Site` names a page of another site, or of another origin on this site (another
/// port of the same host, say). `none` is somebody who typed the address.
fn has_foreign_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE);
    sites.any(|site| {
        let site = site.as_bytes();
        site.eq_ignore_ascii_case(b"cross-site") || site.eq_ignore_ascii_case(b"same-site")
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn is_foreign(lines: &[(&str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(*name).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        is_foreign_page(&headers)
    }

    #[test]
    fn an_origin_is_foreign_unless_it_is_the_host_that_was_asked() {
        for (host, origin, foreign) in [
            ("gw.example", "http://gw.example", false),
            ("gw.example", "https://GW.example", false),
            ("gw.example:80", "http://gw.example", false),
            ("gw.example", "https://gw.example:443", false),
            ("gw.example:5106", "http://gw.example:5106", false),
            ("[::1]:5106", "http://[::1]:5106", false),
            ("[::1]", "http://[::1]", false),
            ("gw.example:5106", "http://gw.example", true),
            ("gw.example", "http://gw.example:5106", true),
            ("localhost:5106", "http://localhost:3000", true),
            ("gw.example", "http://evil.example", true),
            ("gw.example", "http://gw.example.evil.example", true),
            ("gw.example", "null", true),
            ("gw.example", "", true),
            ("gw.example", "ftp://gw.example", true),
            ("", "http://", true),
            ("gw.example", "http://乐", true),
        ] {
            let found = is_foreign(&[("host", host), ("origin", origin)]);
            assert_eq!(found, foreign, "{origin} at {host}");
        }
        assert!(is_foreign(&[("origin", "http://gw.example")]));
        let twice = [("origin", "http://a"), ("origin", "http://a")];
        assert!(is_foreign(&[("host", "a"), twice[0], twice[1]]));
        assert!(!is_foreign(&[("host", "gw.example")]));
    }

    #[test]
    fn a_named_origin_is_one_whole_value() {
        let named = ["https://a.example".to_owned()];
        let is_named = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(ORIGIN, HeaderValue::from_static(value));
            }
            is_of_origin(&headers, &named)
        };
        assert!(is_named(&["https://a.example"]));
        for other in [
            &[][..],
            &["https://a.example.evil"],
            &["http://a.example"],
            &["https://a.example"; 2],
        ] {
            assert!(!is_named(other), "{other:?}");
        }
    }

    #[test]
    fn a_page_of_another_site_or_port_is_foreign_without_an_origin_too() {
        for (site, foreign) in [
            ("cross-site", true),
            ("Cross-Site", true),
            ("same-site", true),
            ("same-origin", false),
            ("none", false),
        ] {
            let found = is_foreign(&[("host", "a"), ("sec-fetch-site", site)]);
            assert_eq!(found, foreign, "{site}");
        }
    }
}
