//! `/admin/v1/attempts`: the attempts that ended a moment ago, in all processes.
//!
//! A process remembers its attempts while it is asked for them: the first answer is empty.

use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::control::{Ask, AttemptsAsked, ControlAnswerBody};

use super::error::ApiError;
use super::process_view::{AttemptEndView, AttemptsView, SeenPage};
use super::processes::{Names, name_of, named, seen_by};
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::ItemsPage;
use crate::control::{Answers, Silent};
use crate::doctor::said::{Said, say};

/// How far back one can ask: a process forgets what is older.
const MAX_SECONDS: u64 = 30;
/// How far back is asked if nothing is said: a client that asks each second misses nothing then.
const DEFAULT_SECONDS: u64 = 5;

const PARAMETERS: [&str; 7] = [
    "seconds",
    "app_id",
    "callee_no",
    "target",
    "message_type",
    "outcome",
    "failed",
];

/// `GET /admin/v1/attempts`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    ok(&page(&state, parse(http.query_string())?).await)
}

/// What all processes say, the oldest attempt first.
pub(crate) async fn page(state: &AdminState, asked: AttemptsAsked) -> AttemptsView {
    let (mut answers, names) = named(&state.control, Ask::Attempts(asked)).await;
    let older = not_asked_before(&mut answers, &names);
    let seen_by = seen_by(&answers);
    let mut warnings = seen_by.warnings();
    warnings.extend(older);
    let (mut items, mut left_out) = (Vec::new(), false);
    for answer in answers.answers {
        let ControlAnswerBody::Attempts(seen) = answer.body else {
            continue;
        };
        left_out |= seen.left_out;
        let process = name_of(&names, answer.from);
        let attempts = seen.attempts.into_iter();
        items.extend(attempts.map(|it| AttemptEndView::of(it, answer.from, &process)));
    }
    items.sort_by_key(|attempt| attempt.ended_at);
    AttemptsView {
        seen: SeenPage {
            page: ItemsPage { items, next: None },
            seen_by,
            warnings,
        },
        left_out,
    }
}

/// Takes those from the silent ones that have said who they are and run another version: they are alive,
/// and may not know the question. A warning for each. Those of this version know it, and are slow.
fn not_asked_before(answers: &mut Answers, names: &Names) -> Vec<Said> {
    let silent = std::mem::take(&mut answers.silent).into_iter();
    let (older, silent): (Vec<Silent>, Vec<Silent>) =
        silent.partition(|Silent { report, .. }| {
            names.contains_key(&report.instance) && report.version != env!("CARGO_PKG_VERSION")
        });
    answers.silent = silent;
    let warnings = older.into_iter().map(|Silent { report, .. }| {
        let (name, version) = (report.name(), report.version);
        say!(
            "{name} does not tell of its attempts: it is of version {version}",
            "{name} 不报告其投递尝试：其版本为 {version}"
        )
    });
    warnings.collect()
}

/// Reads the parameters.
///
/// # Errors
/// A parameter that is unknown, duplicate, empty or invalid.
pub(crate) fn parse(query: &str) -> Result<AttemptsAsked, ApiError> {
    let mut found = query_params::only(query, &PARAMETERS)?;
    for (key, value) in &found {
        if value.trim().is_empty() {
            return Err(ApiError::parameter(say!(
                "parameter {key:?} is empty; leave it out to mean any",
                "参数 {key:?} 为空；不限时请省略"
            )));
        }
    }
    let seconds = match found.remove("seconds") {
        None => DEFAULT_SECONDS,
        Some(text) => {
            let seconds = text.parse().ok();
            let seconds = seconds.filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
            seconds.ok_or_else(|| {
                ApiError::parameter(say!(
                    "parameter \"seconds\" is not a number from 1 to {MAX_SECONDS}",
                    "参数 \"seconds\" 不是 1 至 {MAX_SECONDS} 的数字"
                ))
            })?
        }
    };
    let target = found.remove("target");
    let failed = found.remove("failed").map(|text| text.parse());
    Ok(AttemptsAsked {
        within_ms: seconds * 1_000,
        app_id: found.remove("app_id"),
        callee_no: found.remove("callee_no"),
        target: target.map(|text| query_params::target(&text)).transpose()?,
        message_type: found.remove("message_type"),
        outcome: match found.remove("outcome") {
            Some(outcome) => Some(query_params::known_outcome(&outcome)?),
            None => None,
        },
        failed: failed
            .transpose()
            .map_err(|_| {
                ApiError::parameter(say!(
                    "parameter \"failed\" is neither true nor false",
                    "参数 \"failed\" 既不是 true 也不是 false"
                ))
            })?
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::control::InstanceReport;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_process_of_a_version_that_does_not_know_the_question_is_not_said_to_hang() {
        let silent = |number: u128, version: &str| Silent {
            report: InstanceReport {
                instance: Uuid::from_u128(number),
                role: "dispatcher".to_owned(),
                host: "h".to_owned(),
                pid: 7,
                version: version.to_owned(),
                ..InstanceReport::default()
            },
            heard_ago: Duration::ZERO,
        };
        let this = env!("CARGO_PKG_VERSION");
        let mut answers = Answers {
            answers: Vec::new(),
            asked_at: 0,
            silent: vec![silent(1, "0.0.1"), silent(2, "0.0.1"), silent(3, this)],
            is_sent: true,
        };
        // The second one has not said who it is; the third one knows the question, and is slow.
        let name = || "dispatcher h:7".to_owned();
        let names = Names::from([(Uuid::from_u128(1), name()), (Uuid::from_u128(3), name())]);
        let warnings = not_asked_before(&mut answers, &names);
        let sentence = "dispatcher h:7 does not tell of its attempts: it is of version 0.0.1";
        assert_eq!(warnings, [sentence]);
        let left: Vec<_> = answers.silent.iter().map(|it| it.report.instance).collect();
        assert_eq!(left, [Uuid::from_u128(2), Uuid::from_u128(3)]);
    }

    #[test]
    fn the_conditions_are_read_and_wrong_ones_are_refused() {
        let asked = parse(
            "seconds=7&app_id=crm&callee_no=EO001&target=https://h.example/x&message_type=m\
             &outcome=answered_5xx&failed=true",
        );
        let text = |text: &str| Some(text.to_owned());
        let expected = AttemptsAsked {
            within_ms: 7_000,
            app_id: text("crm"),
            callee_no: text("EO001"),
            target: text("https://h.example:443"),
            message_type: text("m"),
            outcome: text("answered_5xx"),
            failed: true,
        };
        assert_eq!(asked, Ok(expected));
        assert_eq!(parse("").unwrap().within_ms, 5_000);
        for (query, sentence) in [
            ("seconds=0", "from 1 to 30"),
            ("seconds=31", "from 1 to 30"),
            ("failed=yes", "neither true nor false"),
            ("target=h.example", "must be a URL with its scheme"),
            (
                "outcome=answered",
                "unknown outcome \"answered\"; known: delivered, answered_1xx,",
            ),
            ("app=x", "unknown parameter"),
            ("app_id=", "is empty"),
        ] {
            let error = parse(query).unwrap_err().to_string();
            assert!(error.contains(sentence), "{query}: {error}");
        }
    }
}
