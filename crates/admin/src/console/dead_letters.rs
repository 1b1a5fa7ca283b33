//! The dead letters, newest first, with a filter.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;

use super::callbacks::{CallbackLine, FilterForm, PAGE, lines};
use super::page::{self, PageFrame, Section};
use super::query;
use super::texts::Texts;
use super::visit::Visit;
use crate::api::dead_letters;
use crate::api::reason::of_dead_letters;
use crate::api::state::AdminState;
use crate::api::view::{CallbackView, ItemsPage};

#[derive(Template)]
#[template(path = "console/dead_letters.html")]
pub(super) struct DeadLettersPage {
    frame: PageFrame,
    t: &'static Texts,
    form: FilterForm,
    /// All of them, and which one is chosen.
    reasons: Vec<(&'static str, bool)>,
    lines: Vec<CallbackLine>,
    next: Option<String>,
    is_first: bool,
}

/// `GET /console/dead-letters`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let query = http.query_string();
    let found = dead_letters::page(&state, &query::of_list(query, PAGE)).await;
    page::answer(&visit, found.map(|found| render(&visit, query, found)))
}

pub(super) fn render(
    visit: &Visit,
    query: &str,
    found: ItemsPage<CallbackView>,
) -> DeadLettersPage {
    let t = visit.texts();
    let form = FilterForm::of(query);
    let reasons = of_dead_letters().map(|reason| (reason, form.reason == reason));
    DeadLettersPage {
        frame: PageFrame::new(visit, Section::DeadLetters),
        t,
        reasons: reasons.collect(),
        form,
        next: found.next.map(|next| query::page_after(query, Some(&next))),
        is_first: query::value(query, "after").is_none(),
        lines: lines(found.items, now_ms(), t),
    }
}
