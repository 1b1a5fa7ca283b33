//! The apps: their requests in the last minute, what waits for them, and the day of one of them.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;

use super::chart::Chart;
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::{filters, links, paths, query};
use crate::api::process_view::{AppView, SeenPage};
use crate::api::state::AdminState;
use crate::api::stats_view::StatsView;
use crate::api::{apps, stats};

/// How many are on the page.
const MAX_LISTED: usize = 50;

#[derive(Template)]
#[template(path = "console/apps.html")]
pub(super) struct AppsPage {
    frame: PageFrame,
    t: &'static Texts,
    /// The app whose day is shown, and that day.
    one: Option<(String, Chart)>,
    lines: Vec<AppLine>,
    has_more: bool,
    warnings: Vec<String>,
}

/// An app.
struct AppLine {
    view: AppView,
    /// Its day.
    link: String,
    /// Its callbacks that wait.
    waiting: String,
}

/// `GET /console/apps?app_id=`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let app = query::value(http.query_string(), "app_id");
    let seen = apps::ranked(&state, 0, MAX_LISTED).await;
    let day = match &app {
        None => None,
        Some(app) => {
            let asked = links::with("", &[("app", app), ("step", "1h")]);
            Some(stats::view(&state, &asked).await)
        }
    };
    let found = day.transpose().map(|day| (app.zip(day), seen));
    page::answer(&visit, found.map(|(one, seen)| render(&visit, one, seen)))
}

pub(super) fn render(
    visit: &Visit,
    one: Option<(String, StatsView)>,
    seen: SeenPage<AppView>,
) -> AppsPage {
    let (t, now) = (visit.texts(), now_ms());
    let line = |view: AppView| AppLine {
        link: links::to(paths::APPS, &[("app_id", &view.app_id)]),
        waiting: links::to(paths::WAITING, &[("app_id", &view.app_id)]),
        view,
    };
    AppsPage {
        frame: PageFrame::new(visit, Section::Apps),
        t,
        one: one.map(|(app, day)| (app, Chart::of(&day, now, t))),
        has_more: seen.page.next.is_some(),
        lines: seen.page.items.into_iter().map(line).collect(),
        warnings: t.say_all(&seen.warnings),
    }
}
