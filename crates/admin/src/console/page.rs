//! What every page has: its frame, and how it is answered.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError as _};
use askama::Template;
use url::form_urlencoded::Serializer;

use super::filters;
use super::language::PageLanguage;
use super::paths;
use super::texts::Texts;
use super::translations;
use super::visit::Visit;
use crate::api::error::ApiError;

/// A page in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Targets,
    Apps,
    Live,
    Callbacks,
    Waiting,
    DeadLetters,
    Pauses,
    Operations,
    Audit,
    Settings,
    /// None of them.
    Other,
}

/// A link of the navigation.
pub(super) struct SectionLink {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) is_here: bool,
}

/// What stands around the content of a page.
pub(super) struct PageFrame {
    /// Empty before the sign-in.
    pub(super) sections: Vec<SectionLink>,
    /// The link to the same page in the other language.
    pub(super) other_language: String,
    pub(super) other_language_tag: &'static str,
    pub(super) operator: Option<String>,
    pub(super) is_open: bool,
    /// Whether there is a session that can be ended.
    pub(super) has_session: bool,
    /// By `htmx`, or without JavaScript by the browser.
    pub(super) refreshes: bool,
    /// How often.
    pub(super) refresh_seconds: u8,
    /// Without JavaScript alone.
    pub(super) refreshes_without_scripts: bool,
    /// The page itself, with its query.
    pub(super) path: String,
}

impl PageFrame {
    pub(super) fn new(visit: &Visit, here: Section) -> Self {
        let t = visit.texts();
        let all = [
            (Section::Overview, paths::FIRST_PAGE, t.overview),
            (Section::Targets, paths::TARGETS, t.targets),
            (Section::Apps, paths::APPS, t.apps),
            (Section::Live, paths::LIVE, t.live),
            (Section::Callbacks, paths::CALLBACKS, t.callbacks),
            (Section::Waiting, paths::WAITING, t.waiting),
            (Section::DeadLetters, paths::DEAD_LETTERS, t.dead_letters),
            (Section::Pauses, paths::PAUSES, t.pauses),
            (Section::Operations, paths::OPERATIONS, t.operations),
            (Section::Audit, paths::AUDIT, t.audit),
            (Section::Settings, paths::SETTINGS, t.settings),
        ];
        let links = all.into_iter().map(|(section, path, name)| SectionLink {
            path,
            name,
            is_here: section == here,
        });
        let other = match visit.language {
            PageLanguage::English => PageLanguage::Chinese,
            PageLanguage::Chinese => PageLanguage::English,
        };
        let mut query = Serializer::new(String::new());
        query.append_pair("to", other.tag());
        query.append_pair("next", &visit.path);
        let operator = visit.operator.as_ref();
        Self {
            sections: operator.map_or_else(Vec::new, |_| links.collect()),
            other_language: format!("{}?{}", paths::LANGUAGE, query.finish()),
            other_language_tag: Texts::of(other).html_lang,
            operator: operator.map(|it| it.name.clone().unwrap_or_else(|| "admin".to_owned())),
            is_open: visit.is_open,
            has_session: operator.is_some_and(|it| !it.is_of_proxy()),
            refreshes: false,
            refresh_seconds: 10,
            refreshes_without_scripts: false,
            path: visit.path.clone(),
        }
    }

    /// The page asks for itself again every ten seconds.
    pub(super) fn refreshing(self) -> Self {
        Self {
            refreshes: true,
            ..self
        }
    }

    /// The page asks for itself again so often.
    pub(super) fn refreshing_every(self, refresh_seconds: u8) -> Self {
        Self {
            refresh_seconds,
            ..self.refreshing()
        }
    }

    /// The page asks for itself again every ten seconds where its scripts do not run.
    pub(super) fn refreshing_without_scripts(self) -> Self {
        Self {
            refreshes_without_scripts: true,
            ..self
        }
    }
}

#[derive(Template)]
#[template(path = "console/error.html")]
struct ErrorPage {
    frame: PageFrame,
    t: &'static Texts,
    status: u16,
    /// What kind of error it is, in the language of the page.
    kind: Option<&'static str>,
    sentence: String,
    /// What to look at, and its name.
    link: Option<(String, &'static str)>,
}

/// The answer with this page, or with what keeps it from being shown.
pub(super) fn answer(visit: &Visit, page: Result<impl Template, ApiError>) -> HttpResponse {
    match page {
        Ok(page) => html(StatusCode::OK, &page),
        Err(problem) => error(visit, &problem),
    }
}

/// The answer with this error.
pub(super) fn error(visit: &Visit, problem: &ApiError) -> HttpResponse {
    error_with(visit, problem, None)
}

/// The answer with this error, and a link to what it is about with its name.
pub(super) fn error_with(
    visit: &Visit,
    problem: &ApiError,
    link: Option<(String, &'static str)>,
) -> HttpResponse {
    let status = problem.status_code();
    let page = ErrorPage {
        frame: PageFrame::new(visit, Section::Other),
        t: visit.texts(),
        status: status.as_u16(),
        kind: translations::problem(problem.code(), visit.language),
        sentence: visit.texts().say(&problem.said()),
        link,
    };
    html(status, &page)
}

/// The answer with this page.
pub(super) fn html(status: StatusCode, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(text) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .body(text),
        Err(error) => {
            tracing::error!(%error, "a page of the console cannot be rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}
