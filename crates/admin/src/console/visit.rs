//! Who asks for a page, and in which language. The guard makes it; the pages read it.

use std::net::IpAddr;

use actix_web::http::header::{ACCEPT_LANGUAGE, HeaderMap};
use actix_web::{HttpMessage as _, HttpRequest};

use super::cookies;
use super::language::PageLanguage;
use super::texts::Texts;
use crate::api::auth::Operator;

/// A request for a page.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) language: PageLanguage,
    /// `None` on the pages that need no sign-in.
    pub(super) operator: Option<Operator>,
    /// Whether no token is configured: nobody signs in.
    pub(super) is_open: bool,
    pub(super) peer: Option<IpAddr>,
    /// Path and query of the page; of a form that was sent, the console's first page.
    pub(super) path: String,
    pub(super) is_secure: bool,
}

impl Visit {
    /// The visit of a request that has passed the guard.
    pub(super) fn of(request: &HttpRequest) -> Self {
        let extensions = request.extensions();
        // Nothing is served without the guard; if it were, nobody would be signed in.
        extensions.get::<Self>().cloned().unwrap_or(Self {
            language: PageLanguage::English,
            operator: None,
            is_open: false,
            peer: None,
            path: String::new(),
            is_secure: false,
        })
    }

    pub(super) const fn texts(&self) -> &'static Texts {
        Texts::of(self.language)
    }
}

/// The language that a reader has chosen, or else that the browser prefers.
pub(super) fn language_of(headers: &HeaderMap) -> PageLanguage {
    cookies::language(headers).unwrap_or_else(|| {
        let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|it| it.to_str().ok());
        PageLanguage::of_accept(accepted.unwrap_or_default())
    })
}
