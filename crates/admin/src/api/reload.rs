//! `POST /admin/v1/reload`: every process reads its settings and the files of its secrets again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::control::{Ask, Command, ControlAnswerBody, InstanceReport, LastReload};
use uuid::Uuid;

use super::audit::{self, AuditAction};
use super::auth::TokenName;
use super::body::BodyBytes;
use super::bulk_request::Actor;
use super::process_view::{ReloadOutcome, ReloadedView, SeenBy, SeenPage};
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::ItemsPage;
use crate::control::{Answers, ControlPlane};

/// How long the processes may take. A command takes effect within a second, and reading files takes
/// milliseconds.
const DEADLINE: Duration = Duration::from_secs(5);

/// How often they are asked.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// The processes that were told, and the last reload of each before that.
type Before = HashMap<Uuid, (InstanceReport, Option<LastReload>)>;

/// `POST /admin/v1/reload`
pub(super) async fn reload(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    let actor = Actor::parse(&body, TokenName::of(&http).as_deref())?;
    let (control, journal) = (state.control.clone(), state.journal.clone());
    let page = state.run(async move {
        let page = tell_all(&control).await;
        let subject = "settings".to_owned();
        let count = page.page.items.len();
        audit::record(journal.as_ref(), AuditAction::Reload, subject, actor, count).await;
        Ok(page)
    });
    ok(&page.await?)
}

/// Tells all processes, and waits until each has said how its reload ended.
async fn tell_all(control: &ControlPlane) -> SeenPage<ReloadedView> {
    let asked = control.ask(Ask::Identity).await;
    let before: Before = reports(&asked)
        .map(|report| (report.instance, (report.clone(), report.reload.clone())))
        .collect();
    control.command(Command::Reload);
    let told_at = Instant::now();
    loop {
        tokio::time::sleep(ASK_INTERVAL).await;
        let answers = control.ask(Ask::Identity).await;
        let page = view(&before, &answers);
        let is_known = |it: &ReloadedView| it.outcome != ReloadOutcome::Unknown;
        if page.page.items.iter().all(is_known) || told_at.elapsed() >= DEADLINE {
            return page;
        }
    }
}

fn reports(answers: &Answers) -> impl Iterator<Item = &InstanceReport> {
    let bodies = answers.answers.iter().map(|answer| &answer.body);
    bodies.filter_map(|body| match body {
        ControlAnswerBody::Identity(report) => Some(&**report),
        _ => None,
    })
}

/// What has come of it so far. A process that started meanwhile has read the new settings anyway.
fn view(before: &Before, answers: &Answers) -> SeenPage<ReloadedView> {
    let mut items: Vec<ReloadedView> = Vec::new();
    for (report, last) in before.values() {
        let now = reports(answers).find(|it| it.instance == report.instance);
        let reload = now.and_then(|now| now.reload.as_ref());
        let new = reload.filter(|reload| Some(*reload) != last.as_ref());
        items.push(ReloadedView {
            instance: report.instance,
            role: report.role.clone(),
            host: report.host.clone(),
            pid: report.pid,
            outcome: match new {
                None => ReloadOutcome::Unknown,
                Some(LastReload { refused, .. }) if refused.is_some() => ReloadOutcome::Refused,
                Some(_) => ReloadOutcome::Reloaded,
            },
            refused: new.and_then(|it| it.refused.clone()),
            restart: new.map(|it| it.restart.clone()).unwrap_or_default(),
        });
    }
    items.sort_by(|a, b| {
        let key = |it: &ReloadedView| (it.role.clone(), it.host.clone(), it.pid);
        key(a).cmp(&key(b))
    });
    let seen_by = SeenBy::of(reports(answers).count(), &answers.silent, answers.is_sent);
    SeenPage {
        page: ItemsPage { items, next: None },
        warnings: seen_by.warnings(),
        seen_by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Answered;

    fn report(number: u128, reload: Option<LastReload>) -> InstanceReport {
        InstanceReport {
            instance: Uuid::from_u128(number),
            role: "dispatcher".to_owned(),
            pid: u32::try_from(number).unwrap(),
            reload,
            ..InstanceReport::default()
        }
    }

    fn at(at: u64, refused: Option<&str>) -> Option<LastReload> {
        Some(LastReload {
            at,
            refused: refused.map(str::to_owned),
            restart: Vec::new(),
        })
    }

    #[test]
    fn an_older_reload_is_not_taken_for_this_one() {
        let told = [
            report(1, None),
            report(2, at(7, None)),
            report(3, at(7, Some("old"))),
            report(4, None),
        ];
        let before = told
            .iter()
            .map(|it| (it.instance, (it.clone(), it.reload.clone())))
            .collect();
        let now = [
            report(1, at(9, None)),
            report(2, at(9, Some("retry.schedule: it is empty"))),
            report(3, at(7, Some("old"))),
            report(5, None),
        ];
        let answers = Answers {
            answers: now
                .into_iter()
                .map(|report| Answered {
                    from: report.instance,
                    body: ControlAnswerBody::Identity(Box::new(report)),
                    at: 0,
                })
                .collect(),
            asked_at: 0,
            silent: Vec::new(),
            is_sent: true,
        };
        let found = view(&before, &answers).page.items;
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.pid, it.outcome, it.refused.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                (1, ReloadOutcome::Reloaded, None),
                (
                    2,
                    ReloadOutcome::Refused,
                    Some("retry.schedule: it is empty")
                ),
                (3, ReloadOutcome::Unknown, None),
                (4, ReloadOutcome::Unknown, None),
            ]
        );
    }
}
