//! The settings in force: masked, with where each is set, and the last reload of each process.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;
use runtime::{SettingOrigin, SettingsShown};

use super::filters;
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use crate::api::error::ApiError;
use crate::api::instances;
use crate::api::process_view::{InstanceView, ReloadView, SeenPage};
use crate::api::state::AdminState;
use crate::config::Role;

/// How many origins are on the page.
const MAX_ORIGINS: usize = 100;
/// How much of the settings is on the page, in bytes: those of hundreds of callees are longer.
const MAX_TOML_BYTES: usize = 16 * 1024;

#[derive(Template)]
#[template(path = "console/settings.html")]
pub(super) struct SettingsPage {
    frame: PageFrame,
    t: &'static Texts,
    process: String,
    toml: String,
    is_cut: bool,
    origins: Vec<SettingOrigin>,
    further_origins: usize,
    processes: Vec<ProcessLine>,
    warnings: Vec<String>,
}

/// A process.
struct ProcessLine {
    view: InstanceView,
    reload: Option<(When, ReloadView)>,
}

/// `GET /console/settings`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let operator = visit.operator.as_ref();
    if !operator.is_some_and(|operator| operator.may(Role::Configure)) {
        return page::error(&visit, &ApiError::Forbidden(Role::Configure));
    }
    let shown = (state.settings)();
    let seen = instances::page(&state).await;
    let process = state.doctor.process.clone();
    page::answer(&visit, Ok(render(&visit, process, shown, seen)))
}

pub(super) fn render(
    visit: &Visit,
    process: String,
    shown: SettingsShown,
    seen: SeenPage<InstanceView>,
) -> SettingsPage {
    let (t, now) = (visit.texts(), now_ms());
    let SettingsShown {
        mut toml,
        mut origins,
    } = shown;
    let is_cut = cut(&mut toml);
    let further_origins = origins.len().saturating_sub(MAX_ORIGINS);
    origins.truncate(MAX_ORIGINS);
    let line = |mut view: InstanceView| ProcessLine {
        reload: view
            .reload
            .take()
            .map(|reload| (When::of(reload.at, now, t), reload)),
        view,
    };
    SettingsPage {
        frame: PageFrame::new(visit, Section::Settings),
        t,
        process,
        toml,
        is_cut,
        origins,
        further_origins,
        processes: seen.page.items.into_iter().map(line).collect(),
        warnings: t.say_all(&seen.warnings),
    }
}

/// Leaves what fits on the page, up to the end of a character; whether something is left out.
fn cut(toml: &mut String) -> bool {
    let is_cut = toml.len() > MAX_TOML_BYTES;
    toml.truncate(toml.floor_char_boundary(MAX_TOML_BYTES));
    is_cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_settings_are_cut_between_two_characters() {
        // Three bytes each: the largest size is within one of them.
        let mut chinese = "乐".repeat(MAX_TOML_BYTES);
        assert!(cut(&mut chinese));
        assert_eq!(chinese, "乐".repeat(MAX_TOML_BYTES / 3));
        let mut short = "乐".to_owned();
        assert!(!cut(&mut short));
        assert_eq!(short, "乐");
    }
}
