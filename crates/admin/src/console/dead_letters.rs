//! The dead letters, newest first, with a filter.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;

use super::callbacks::{CallbackLine, FilterForm, PAGE, lines};
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use super::{filters, links, paths, query};
use crate::api::callbacks::ListedPage;
use crate::api::dead_letters;
use crate::api::operations::OperationAct;
use crate::api::reason::of_dead_letters;
use crate::api::state::AdminState;
use crate::config::Role;

/// The fields of the form.
const FIELDS: [&str; 6] = [
    "app_id",
    "callee_no",
    "target",
    "message_type",
    "reason",
    "http_status",
];

#[derive(Template)]
#[template(path = "console/dead_letters.html")]
pub(super) struct DeadLettersPage {
    frame: PageFrame,
    t: &'static Texts,
    form: FilterForm,
    /// All of them, and which one is chosen.
    reasons: Vec<(&'static str, bool)>,
    /// What can be done to all that match: the link, and the word.
    acts: Vec<(String, &'static str)>,
    groups: String,
    lines: Vec<CallbackLine>,
    next: Option<String>,
    /// The look ended here before the page was full.
    looked_back_to: Option<When>,
    is_first: bool,
}

/// `GET /console/dead-letters`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let query = http.query_string();
    let found = dead_letters::page(&state, &query::of_list(query, PAGE)).await;
    page::answer(&visit, found.map(|found| render(&visit, query, found)))
}

pub(super) fn render(visit: &Visit, query: &str, listed: ListedPage) -> DeadLettersPage {
    let (t, now) = (visit.texts(), now_ms());
    let ListedPage {
        page: found,
        looked_back_to,
    } = listed;
    let form = FilterForm::of(query, &FIELDS);
    let reasons = of_dead_letters().map(|reason| (reason, form.reason == reason));
    let operator = visit.operator.as_ref();
    let may_act = operator.is_some_and(|operator| operator.may(Role::Replay));
    let filter = links::with(query, &[]);
    let acts = [OperationAct::ReplayDead, OperationAct::Discard];
    let acts = acts.into_iter().filter(|_| may_act).map(|act| {
        let path = format!("{}/{}", paths::BULK, act.as_str());
        (links::joined(&path, &filter), t.act_word(act))
    });
    DeadLettersPage {
        acts: acts.collect(),
        groups: links::joined(paths::DEAD_LETTER_GROUPS, &filter),
        frame: PageFrame::new(visit, Section::DeadLetters),
        t,
        reasons: reasons.collect(),
        form,
        next: found.next.map(|next| query::page_after(query, Some(&next))),
        looked_back_to: looked_back_to.map(|at| When::of(at, now, t)),
        is_first: query::value(query, "after").is_none(),
        lines: lines(found.items, now, t),
    }
}
