//! The audit log, newest first.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;

use super::page::{self, PageFrame, Section};
use super::query;
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use crate::api::audit;
use crate::api::state::AdminState;
use crate::api::view::{AuditView, ItemsPage};

/// How many are on a page.
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "console/audit.html")]
pub(super) struct AuditLogPage {
    frame: PageFrame,
    t: &'static Texts,
    lines: Vec<(When, AuditView)>,
    next: Option<String>,
}

/// `GET /console/audit`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let view = audit::page(&state, &query::of_list(http.query_string(), PAGE)).await;
    page::answer(&visit, view.map(|view| render(&visit, view)))
}

pub(super) fn render(visit: &Visit, view: ItemsPage<AuditView>) -> AuditLogPage {
    let (t, now) = (visit.texts(), now_ms());
    let lines = view.items.into_iter();
    AuditLogPage {
        frame: PageFrame::new(visit, Section::Audit),
        t,
        lines: lines
            .map(|entry| {
                let entry = AuditView {
                    action: t.action(&entry.action),
                    subject: t.subject(&entry.subject),
                    reason: t.reason(&entry.reason),
                    ..entry
                };
                (When::of(entry.occurred_at, now, t), entry)
            })
            .collect(),
        next: view.next.map(|after| query::page_after("", Some(&after))),
    }
}
