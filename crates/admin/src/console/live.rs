//! The attempts as they end: the page, with those of the last half minute. `live_stream.rs` sends the
//! next ones.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use contract::control::AttemptsAsked;
use delivery::retry::OUTCOME_LABELS;
use runtime::clock::now_ms;
use url::form_urlencoded::Serializer;

use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use super::{paths, query};
use crate::api::attempts;
use crate::api::error::ApiError;
use crate::api::process_view::{AttemptEndView, AttemptsView};
use crate::api::state::AdminState;

/// How far back the page looks, in seconds: a process forgets what is older.
const PAGE_SECONDS: u64 = 30;
/// How many attempts the page begins with: the newest.
const MAX_LISTED: usize = 50;
/// The choice of the field `outcome` that stands for all that did not deliver.
const FAILED: &str = "failed";

/// The fields of the filter, as they were sent.
pub(super) struct LiveFilter {
    app_id: String,
    callee_no: String,
    outcome: String,
    is_paused: bool,
}

impl LiveFilter {
    pub(super) fn of(query: &str) -> Self {
        let value = |key| query::value(query, key).unwrap_or_default();
        Self {
            app_id: value("app_id"),
            callee_no: value("callee_no"),
            outcome: value("outcome"),
            is_paused: value("paused") == "1",
        }
    }

    /// The question to the processes: what ended within so many seconds.
    ///
    /// # Errors
    /// An unknown outcome.
    pub(super) fn asked(&self, seconds: u64) -> Result<AttemptsAsked, ApiError> {
        let mut parameters = Serializer::new(String::new());
        parameters.append_pair("seconds", &seconds.to_string());
        let outcome = match &*self.outcome {
            FAILED => ("failed", "true"),
            outcome => ("outcome", outcome),
        };
        for (key, value) in [
            ("app_id", &*self.app_id),
            ("callee_no", &*self.callee_no),
            outcome,
        ] {
            if !value.is_empty() {
                parameters.append_pair(key, value);
            }
        }
        attempts::parse(&parameters.finish())
    }

    /// The query string of the same filter.
    fn query(&self, is_paused: bool) -> String {
        let mut query = Serializer::new(String::new());
        for (key, value) in [
            ("app_id", &self.app_id),
            ("callee_no", &self.callee_no),
            ("outcome", &self.outcome),
        ] {
            if !value.is_empty() {
                query.append_pair(key, value);
            }
        }
        if is_paused {
            query.append_pair("paused", "1");
        }
        query.finish()
    }
}

/// An attempt in the table.
pub(super) struct LiveLine {
    pub(super) view: AttemptEndView,
    pub(super) class: &'static str,
    pub(super) ended: When,
    pub(super) next: Option<When>,
    /// Its callee with its target, or its target alone.
    pub(super) destination: String,
    pub(super) verdict: &'static str,
}

impl LiveLine {
    pub(super) fn of(mut view: AttemptEndView, now: u64, t: &Texts) -> Self {
        view.cause = view.cause.map(|cause| t.stored(&cause));
        Self {
            class: match &*view.verdict {
                "delivered" => "good",
                "deferred" => "unknown",
                "dead_lettered" => "failure",
                _ => "warning",
            },
            verdict: match &*view.verdict {
                "delivered" => t.status_delivered,
                "deferred" => t.was_deferred,
                "dead_lettered" => t.status_dead,
                _ => t.status_retrying,
            },
            ended: When::of(view.ended_at, now, t),
            next: view.next_attempt_at.map(|at| When::of(at, now, t)),
            destination: match &view.callee_no {
                Some(no) => format!("{no} {}", view.target),
                None => view.target.clone(),
            },
            view,
        }
    }
}

#[derive(Template)]
#[template(path = "console/live.html")]
pub(super) struct LivePage {
    frame: PageFrame,
    t: &'static Texts,
    form: LiveFilter,
    outcomes: Vec<(&'static str, bool)>,
    all_failed: bool,
    /// Where the browser hears of the next ones.
    events: String,
    /// The same page, and whether it is paused there.
    other: String,
    lines: Vec<LiveLine>,
    warnings: Vec<String>,
    left_out: bool,
}

/// `GET /console/live`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let filter = LiveFilter::of(http.query_string());
    let view = match filter.asked(PAGE_SECONDS) {
        Ok(asked) => Ok(attempts::page(&state, asked).await),
        Err(problem) => Err(problem),
    };
    page::answer(&visit, view.map(|view| render(&visit, filter, view)))
}

pub(super) fn render(visit: &Visit, form: LiveFilter, view: AttemptsView) -> LivePage {
    let (t, now) = (visit.texts(), now_ms());
    let frame = PageFrame::new(visit, Section::Live);
    let newest = view.seen.page.items.into_iter().rev().take(MAX_LISTED);
    let events = format!("{}?{}", paths::LIVE_EVENTS, form.query(false));
    let other = form.query(!form.is_paused);
    LivePage {
        // With JavaScript the stream takes the place of a refresh.
        frame: match form.is_paused {
            true => frame,
            false => frame.refreshing_without_scripts(),
        },
        t,
        outcomes: OUTCOME_LABELS
            .iter()
            .map(|label| (*label, form.outcome == *label))
            .collect(),
        all_failed: form.outcome == FAILED,
        events: events.trim_end_matches('?').to_owned(),
        other: format!("{}?{other}", paths::LIVE)
            .trim_end_matches('?')
            .to_owned(),
        form,
        lines: newest.map(|view| LiveLine::of(view, now, t)).collect(),
        warnings: t.say_all(&view.seen.warnings),
        left_out: view.left_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_asked_of_the_processes_and_kept_in_links() {
        let filter = LiveFilter::of("app_id=+crm+&callee_no=&outcome=failed&paused=1");
        let asked = filter.asked(5).unwrap();
        let expected = AttemptsAsked {
            within_ms: 5_000,
            app_id: Some("crm".to_owned()),
            failed: true,
            ..AttemptsAsked::default()
        };
        assert_eq!(asked, expected);
        assert!(filter.is_paused);
        assert_eq!(filter.query(false), "app_id=crm&outcome=failed");
        assert_eq!(filter.query(true), "app_id=crm&outcome=failed&paused=1");
        let one = LiveFilter::of("outcome=timeout&callee_no=EO001")
            .asked(30)
            .unwrap();
        assert_eq!(one.outcome.as_deref(), Some("timeout"));
        assert_eq!(
            (one.callee_no.as_deref(), one.failed),
            (Some("EO001"), false)
        );
        assert!(LiveFilter::of("outcome=wrong").asked(5).is_err());
    }
}
