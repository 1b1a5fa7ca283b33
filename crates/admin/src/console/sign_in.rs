//! Signing in with an operator token, signing out, and the choice of the language.

use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use askama::Template;
use serde::Deserialize;

use super::language::PageLanguage;
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::{cookies, paths, query};
use crate::api::access::OperatorAccess;
use crate::api::error::{ApiError, ProblemCode};

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignInPage {
    frame: PageFrame,
    t: &'static Texts,
    /// Where it leads to.
    next: String,
    problem: Option<String>,
}

/// The form that is sent.
#[derive(Deserialize)]
pub(super) struct SignInForm {
    token: String,
    #[serde(default)]
    next: String,
}

/// `GET /console/sign-in`
pub(super) async fn show(http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let next = query::value(http.query_string(), "next").unwrap_or_default();
    if visit.operator.is_some() {
        return to(&next).finish();
    }
    page::answer(&visit, Ok(form(&visit, next, None)))
}

/// `POST /console/sign-in`
pub(super) async fn sign_in(
    access: Data<OperatorAccess>,
    http: HttpRequest,
    sent: Form<SignInForm>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let SignInForm { token, next } = sent.into_inner();
    let problem = match access.sign_in(&token, visit.peer).await {
        Ok(session) => {
            let cookie = cookies::set_session(&session, visit.is_secure);
            return to(&next).insert_header((SET_COOKIE, cookie)).finish();
        }
        Err(problem) => problem,
    };
    let t = visit.texts();
    let sentence = match &problem {
        ApiError::Unauthenticated => t.wrong_token.to_owned(),
        other if other.code() == ProblemCode::TooManyFailures => t.too_many_tokens.to_owned(),
        other => other.to_string(),
    };
    page::html(problem.status_code(), &form(&visit, next, Some(sentence)))
}

/// `POST /console/sign-out`
pub(super) async fn sign_out(http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    HttpResponse::SeeOther()
        .insert_header((SET_COOKIE, cookies::end_session(visit.is_secure)))
        .insert_header((LOCATION, paths::SIGN_IN))
        .finish()
}

/// `GET /console/language`
pub(super) async fn choose_language(http: HttpRequest) -> HttpResponse {
    let query = http.query_string();
    let next = query::value(query, "next").unwrap_or_default();
    let mut response = to(&next);
    if let Some(chosen) = query::value(query, "to").and_then(|tag| PageLanguage::of_tag(&tag)) {
        response.insert_header((SET_COOKIE, cookies::set_language(chosen)));
    }
    response.finish()
}

fn form(visit: &Visit, next: String, problem: Option<String>) -> SignInPage {
    let own = query::own_path(&next).is_some();
    // The language link leads back to where this form leads to.
    let visit = Visit {
        path: match own {
            true => next.clone(),
            false => visit.path.clone(),
        },
        ..visit.clone()
    };
    SignInPage {
        frame: PageFrame::new(&visit, Section::Other),
        t: visit.texts(),
        next,
        problem,
    }
}

/// A redirection to a page of the console; to nowhere else.
fn to(next: &str) -> actix_web::HttpResponseBuilder {
    let next = query::own_path(next).unwrap_or(paths::FIRST_PAGE);
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, next));
    response
}
