//! The cookies of the console: the session, and the chosen language.

use actix_web::http::header::{COOKIE, HeaderMap};

use super::language::PageLanguage;
use crate::api::session::LIFETIME;

const SESSION: &str = "ringback_session";
const LANGUAGE: &str = "ringback_language";
const YEAR_SECONDS: u64 = 365 * 24 * 60 * 60;

/// The value of the session in a request's `Cookie`.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    find(headers, SESSION)
}

pub(super) fn language(headers: &HeaderMap) -> Option<PageLanguage> {
    find(headers, LANGUAGE).and_then(PageLanguage::of_tag)
}

/// The `Set-Cookie` of a new session. `is_secure`: it never leaves the browser without TLS.
pub(super) fn set_session(value: &str, is_secure: bool) -> String {
    let seconds = LIFETIME.as_secs();
    format!(
        "{SESSION}={value}; Max-Age={seconds}; {}",
        attributes(is_secure)
    )
}

/// The `Set-Cookie` that ends the session in this browser.
pub(super) fn end_session(is_secure: bool) -> String {
    format!("{SESSION}=; Max-Age=0; {}", attributes(is_secure))
}

pub(super) fn set_language(language: PageLanguage) -> String {
    let tag = language.tag();
    format!(
        "{LANGUAGE}={tag}; Max-Age={YEAR_SECONDS}; {}",
        attributes(false)
    )
}

const fn attributes(is_secure: bool) -> &'static str {
    match is_secure {
        true => "Path=/; HttpOnly; SameSite=Strict; Secure",
        false => "Path=/; HttpOnly; SameSite=Strict",
    }
}

fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers
        .get_all(COOKIE)
        .filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        let line = "a=b; xringback_session=no; ringback_session=1.ff; ringback_language=zh";
        headers.insert(COOKIE, HeaderValue::from_static(line));
        assert_eq!(session(&headers), Some("1.ff"));
        assert_eq!(language(&headers), Some(PageLanguage::Chinese));
        assert_eq!(session(&HeaderMap::new()), None);
    }

    #[test]
    fn a_session_is_kept_from_scripts_and_other_sites() {
        let plain = set_session("1.ff", false);
        assert_eq!(
            plain,
            "ringback_session=1.ff; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict"
        );
        assert_eq!(set_session("1.ff", true), format!("{plain}; Secure"));
    }
}
