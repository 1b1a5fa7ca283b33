//! The dead letters, grouped: by target, reason, last attempt, or the hour of their death.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use journal::{CallbackGroups, GroupBy, GroupLook};
use runtime::clock::now_ms;

use super::groups::{self, CountEnd, GroupLine, GroupSource};
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::{links, paths, query};
use crate::api::error::ApiError;
use crate::api::groups::{GroupScope, of as grouped};
use crate::api::operations::OperationAct;
use crate::api::state::AdminState;
use crate::config::Role;
use crate::doctor::said::say;

/// By what dead letters are grouped: the value of `by`.
const ALL: [(&str, GroupBy); 4] = [
    ("target", GroupBy::Target),
    ("reason", GroupBy::End),
    ("attempt", GroupBy::LastAttempt),
    ("hour", GroupBy::Hour),
];

#[derive(Template)]
#[template(path = "console/dead_groups.html")]
pub(super) struct DeadGroupsPage {
    frame: PageFrame,
    t: &'static Texts,
    /// Ways to group: the link, the word, and whether it is the one of this page.
    ways: Vec<(String, &'static str, bool)>,
    /// The conditions that all of them match.
    conditions: Vec<(String, String)>,
    group_column: &'static str,
    groups: Vec<GroupLine>,
    count: u64,
    count_end: Option<CountEnd>,
    list: String,
    /// What can be done to all of them: the link, and the word.
    acts: Vec<(String, &'static str)>,
    may_act: bool,
}

/// `GET /console/dead-letters/groups`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let asked = http.query_string();
    let found = async {
        let way = way(asked)?;
        let query = links::with(asked, &[]);
        let look = groups::look(asked);
        let found = grouped(&state, &query, GroupScope::DeadLetters, way.1, look).await?;
        Ok(render(&visit, (&query, look), way, found))
    };
    page::answer(&visit, found.await)
}

/// How they are grouped; by target if nothing is said.
pub(super) fn way(query: &str) -> Result<(&'static str, GroupBy), ApiError> {
    let Some(by) = query::value(query, "by") else {
        return Ok(ALL[0]);
    };
    let found = ALL.into_iter().find(|(name, _)| *name == by);
    found.ok_or_else(|| {
        let names = ALL.map(|(name, _)| name).join(", ");
        let shown: String = by.chars().take(50).collect();
        ApiError::parameter(say!(
            "unknown by {shown:?}; known: {names}",
            "未知的分组方式 {shown:?}；可用：{names}"
        ))
    })
}

pub(super) fn render(
    visit: &Visit,
    (query, look): (&str, GroupLook),
    (by, _): (&'static str, GroupBy),
    found: CallbackGroups,
) -> DeadGroupsPage {
    let (t, now) = (visit.texts(), now_ms());
    let operator = visit.operator.as_ref();
    let may_act = operator.is_some_and(|operator| operator.may(Role::Replay));
    let source = GroupSource {
        list: paths::DEAD_LETTERS,
        query,
        may_act,
    };
    let word = |by: &str| match by {
        "target" => t.target,
        "reason" => t.reason,
        "attempt" => t.last_attempt,
        _ => t.hour_of_death,
    };
    let act = |act: OperationAct| {
        let path = format!("{}/{}", paths::BULK, act.as_str());
        (links::joined(&path, query), t.act_word(act))
    };
    let grouped = |by: &str| match query {
        "" => format!("by={by}"),
        _ => format!("{query}&by={by}"),
    };
    let ways = ALL.iter().map(|(name, _)| {
        let link = links::joined(paths::DEAD_LETTER_GROUPS, &grouped(name));
        (link, word(name), *name == by)
    });
    DeadGroupsPage {
        frame: PageFrame::new(visit, Section::DeadLetters),
        t,
        ways: ways.collect(),
        conditions: links::others(query, &[]),
        group_column: word(by),
        count: found.examined,
        count_end: CountEnd::of(
            &found,
            false,
            (paths::DEAD_LETTER_GROUPS, &grouped(by)),
            look,
            t,
        ),
        list: links::joined(paths::DEAD_LETTERS, query),
        acts: match may_act && found.examined > 0 {
            true => vec![act(OperationAct::ReplayDead), act(OperationAct::Discard)],
            false => Vec::new(),
        },
        groups: groups::lines(found, &source, now, t),
        may_act,
    }
}
