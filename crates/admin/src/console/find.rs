//! The search box, and ids whose beginning several callbacks share.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;

use super::callbacks::{CallbackLine, lines};
use super::page::{self, PageFrame, Section};
use super::search::{self, SearchGoal};
use super::texts::Texts;
use super::visit::Visit;
use super::{filters, links, paths, query};
use crate::api::callbacks;
use crate::api::error::ApiError;
use crate::api::state::AdminState;
use crate::api::view::CallbackView;

/// How many callbacks with the same beginning are listed.
const MAX_LISTED: u32 = 50;

#[derive(Template)]
#[template(path = "console/search.html")]
pub(super) struct SearchPage {
    frame: PageFrame,
    t: &'static Texts,
    line: String,
    problem: String,
    examples: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "console/matches.html")]
pub(super) struct MatchesPage {
    frame: PageFrame,
    t: &'static Texts,
    beginning: String,
    lines: Vec<CallbackLine>,
    has_more: bool,
}

/// `GET /console/search?q=`: to what the line asks for.
pub(super) async fn search(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let line = query::value(http.query_string(), "q").unwrap_or_default();
    let to = |location: String| {
        HttpResponse::SeeOther()
            .insert_header((LOCATION, location))
            .finish()
    };
    match search::parse(&line, now_ms()) {
        Ok(SearchGoal::Id(id)) => by_id(&state, &visit, &id).await,
        Ok(SearchGoal::Callbacks(query)) => to(links::joined(paths::CALLBACKS, &query)),
        Ok(SearchGoal::DeadLetters(query)) => to(links::joined(paths::DEAD_LETTERS, &query)),
        Err(problem) => {
            let page = render(&visit, line, problem.sentence(visit.texts()));
            page::html(StatusCode::BAD_REQUEST, &page)
        }
    }
}

pub(super) fn render(visit: &Visit, line: String, problem: String) -> SearchPage {
    SearchPage {
        frame: PageFrame::new(visit, Section::Callbacks),
        t: visit.texts(),
        line,
        problem,
        examples: search::KEYS.iter().map(|(_, example)| *example).collect(),
    }
}

/// `GET /console/callbacks/find?id=`: to the callback of this id, or of its first digits.
pub(super) async fn find(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let id = query::value(http.query_string(), "id").unwrap_or_default();
    by_id(&state, &visit, &id).await
}

async fn by_id(state: &AdminState, visit: &Visit, id: &str) -> HttpResponse {
    let found = async {
        // One more, to know whether there are more.
        let ids = state.request_ids(id, MAX_LISTED + 1).await?;
        match ids.as_slice() {
            [one] => Ok::<_, ApiError>(Err(*one)),
            several => Ok(Ok(callbacks::of_ids(state, several.to_vec()).await?)),
        }
    };
    match found.await {
        Ok(Err(one)) => HttpResponse::SeeOther()
            .insert_header((LOCATION, format!("{}/{one}", paths::CALLBACKS)))
            .finish(),
        Ok(Ok(several)) => page::answer(visit, Ok(render_matches(visit, id, several))),
        Err(problem) => page::error(visit, &problem),
    }
}

pub(super) fn render_matches(
    visit: &Visit,
    beginning: &str,
    mut found: Vec<CallbackView>,
) -> MatchesPage {
    let t = visit.texts();
    let listed = usize::try_from(MAX_LISTED).unwrap_or(usize::MAX);
    let has_more = found.len() > listed;
    found.truncate(listed);
    MatchesPage {
        frame: PageFrame::new(visit, Section::Callbacks),
        t,
        beginning: beginning.to_owned(),
        lines: lines(found, now_ms(), t),
        has_more,
    }
}
