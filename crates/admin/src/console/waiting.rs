//! What waits, by what it waits for.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use journal::{CallbackGroups, GroupBy, GroupLook};
use runtime::clock::now_ms;

use super::groups::{self, CountEnd, GroupLine, GroupSource};
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::{links, paths};
use crate::api::groups::{GroupScope, of as grouped};
use crate::api::state::AdminState;
use crate::config::Role;

#[derive(Template)]
#[template(path = "console/waiting.html")]
pub(super) struct WaitingPage {
    frame: PageFrame,
    t: &'static Texts,
    groups: Vec<GroupLine>,
    targets: Vec<GroupLine>,
    /// Of what waits, by what it waits for.
    count_end: Option<CountEnd>,
    /// The same of the groups by target.
    targets_end: Option<CountEnd>,
    may_act: bool,
}

/// `GET /console/waiting`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let query = links::with(http.query_string(), &[]);
    let look = groups::look(http.query_string());
    let found = async {
        let (waits, targets) = tokio::join!(
            grouped(&state, &query, GroupScope::Waiting, GroupBy::Wait, look),
            grouped(&state, &query, GroupScope::Waiting, GroupBy::Target, look)
        );
        Ok((waits?, targets?))
    };
    let found = found.await;
    page::answer(
        &visit,
        found.map(|found| render(&visit, (&query, look), found)),
    )
}

pub(super) fn render(
    visit: &Visit,
    (query, look): (&str, GroupLook),
    (waits, targets): (CallbackGroups, CallbackGroups),
) -> WaitingPage {
    let (t, now) = (visit.texts(), now_ms());
    let operator = visit.operator.as_ref();
    let source = |query, may_act| GroupSource {
        list: paths::CALLBACKS,
        query,
        may_act,
    };
    let may_act = operator.is_some_and(|operator| operator.may(Role::Replay));
    let waiting = links::with(query, &[("status", "queued,retrying")]);
    WaitingPage {
        frame: PageFrame::new(visit, Section::Waiting),
        t,
        count_end: CountEnd::of(&waits, true, (paths::WAITING, query), look, t),
        targets_end: CountEnd::of(&targets, false, (paths::WAITING, query), look, t),
        groups: groups::lines(waits, &source(query, may_act), now, t),
        targets: groups::lines(targets, &source(&waiting, false), now, t),
        may_act,
    }
}
