//! `GET /admin/v1/stats`: what happened in a time, by the journal's rollups.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::duration_ms;
use journal::{MINUTE_MS, RollupFigures, RollupPoint, RollupQuery, RollupSubject};
use runtime::clock::now_ms;

use super::error::ApiError;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::stats_view::StatsView;
use super::{query_params, timestamp};
use crate::doctor::said::say;

/// The most steps of one answer: a day of minutes, and a month of half hours.
const MAX_STEPS: u64 = 1_500;
/// How many steps an answer has at most by default.
const DEFAULT_STEPS: u64 = 120;
/// How far back an answer reaches by default.
const DEFAULT_SPAN_MS: u64 = 24 * HOUR_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// The steps of which the shortest that is long enough is taken by default.
const STEPS_MS: [u64; 9] = [
    MINUTE_MS,
    5 * MINUTE_MS,
    15 * MINUTE_MS,
    HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    24 * HOUR_MS,
    7 * 24 * HOUR_MS,
];
/// The longest step: a year.
const MAX_STEP_MS: u64 = 365 * 24 * HOUR_MS;

/// `GET /admin/v1/stats`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    ok(&view(&state, http.query_string()).await?)
}

/// What a query string asks for.
pub(crate) async fn view(state: &AdminState, query: &str) -> Result<StatsView, ApiError> {
    let query = parse(query, now_ms())?;
    let journal = state.journal()?;
    let asked = query.clone();
    let reading = state.run(async move { Ok(journal.rollup(&asked).await?) });
    let found = reading.await?;
    Ok(StatsView::of(&query, &every_step(&query, found)))
}

/// Reads the parameters; `now` in Unix ms.
///
/// # Errors
/// A parameter that is unknown, duplicate, empty or invalid, and more steps than an answer may have.
fn parse(query: &str, now: u64) -> Result<RollupQuery, ApiError> {
    let known = ["callee", "target", "app", "from", "to", "step"];
    let mut given = query_params::only(query, &known)?;
    if let Some((key, _)) = given.iter().find(|(_, value)| value.trim().is_empty()) {
        return Err(ApiError::parameter(say!(
            "parameter {key:?} is empty; leave it out to mean any",
            "参数 {key:?} 为空；不限时请省略"
        )));
    }
    let subject = subject(&mut given)?;
    let mut time = |key: &str| -> Result<Option<u64>, ApiError> {
        let time = given.remove(key).map(|text| timestamp::parse(&text));
        time.transpose().map_err(|reason| {
            ApiError::parameter(say!("parameter {key:?} {0}", "参数 {key:?}：{0}", reason))
        })
    };
    // Nothing has happened later.
    let to = time("to")?.map_or(now, |to| to.min(now));
    let from = time("from")?.unwrap_or_else(|| to.saturating_sub(DEFAULT_SPAN_MS));
    if from >= to {
        return Err(ApiError::parameter(say!(
            "from must be before to, and before the present time",
            "from 必须早于 to 和当前时间"
        )));
    }
    let step = match given.remove("step") {
        Some(text) => step(&text)?,
        None => default_step(to - from),
    };
    let query = RollupQuery {
        subject,
        from: from - from % step,
        until: to.next_multiple_of(step),
        step,
    };
    let steps = (query.until - query.from) / step;
    if steps > MAX_STEPS {
        let needed = (to - from).div_ceil(MAX_STEPS - 1).div_ceil(MINUTE_MS);
        return Err(ApiError::parameter(say!(
            "these are {steps} steps, and an answer has at most {MAX_STEPS}: give a step of {needed}m or \
             longer, or a shorter time",
            "共 {steps} 段，最多 {MAX_STEPS} 段：请将 step 设为至少 {needed}m，或缩短时间范围"
        )));
    }
    Ok(query)
}

/// The rollups have no figures of two of them together.
fn subject(given: &mut BTreeMap<String, String>) -> Result<RollupSubject, ApiError> {
    let [callee, target, app] = ["callee", "target", "app"].map(|key| given.remove(key));
    match (callee, target, app) {
        (None, None, None) => Ok(RollupSubject::All),
        (Some(callee), None, None) => Ok(RollupSubject::Callee(callee)),
        (None, Some(target), None) => Ok(RollupSubject::Target(match target.as_str() {
            journal::OTHER_NAMES => target,
            url => query_params::target(url)?,
        })),
        (None, None, Some(app)) => Ok(RollupSubject::App(app)),
        (_, _, _) => Err(ApiError::parameter(say!(
            "give one of callee, target and app: figures of two of them together are not kept",
            "callee、target 与 app 只能给出一个：不保存它们组合的数据"
        ))),
    }
}

fn step(text: &str) -> Result<u64, ApiError> {
    let step = humantime::parse_duration(text).ok();
    let step = step
        .filter(|step| step.subsec_nanos() == 0)
        .map(duration_ms);
    let step =
        step.filter(|ms| ms.is_multiple_of(MINUTE_MS) && (MINUTE_MS..=MAX_STEP_MS).contains(ms));
    step.ok_or_else(|| {
        let shown: String = text.chars().take(50).collect();
        ApiError::parameter(say!(
            "parameter \"step\" must be whole minutes from 1m to 365d, such as 15m or 1h, not {shown:?}",
            "参数 \"step\" 必须是 1m 至 365d 的整分钟数，例如 15m 或 1h，而不是 {shown:?}"
        ))
    })
}

/// The shortest usual step with which a time has few enough of them.
fn default_step(span: u64) -> u64 {
    let mut usual = STEPS_MS.into_iter();
    let step = usual.find(|step| span.div_ceil(*step) <= DEFAULT_STEPS);
    // Of a longer time than years, whole weeks.
    let week = 7 * 24 * HOUR_MS;
    step.unwrap_or_else(|| span.div_ceil(DEFAULT_STEPS).next_multiple_of(week))
}

/// All steps, those in which nothing happened among them. Their number is bounded.
pub(crate) fn every_step(query: &RollupQuery, found: Vec<RollupPoint>) -> Vec<RollupPoint> {
    let found: BTreeMap<u64, RollupFigures> = found
        .into_iter()
        .map(|point| (point.at, point.figures))
        .collect();
    let steps = (query.until - query.from) / query.step;
    let starts = (0..steps).map(|number| query.from + number * query.step);
    starts
        .map(|at| RollupPoint {
            at,
            figures: found.get(&at).copied().unwrap_or_default(),
        })
        .collect()
}

/// A step in words: `15m`, `1h`.
pub(crate) fn step_text(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-23T12:13:20Z
    const NOW: u64 = 1_763_900_000_000;

    #[test]
    fn a_day_until_now_is_read_by_default_in_whole_steps() {
        let query = parse("", NOW).unwrap();
        assert_eq!(query.subject, RollupSubject::All);
        assert_eq!(query.step, 15 * MINUTE_MS);
        assert_eq!(query.from, NOW - 24 * HOUR_MS - (NOW % query.step));
        assert_eq!(query.until, NOW - NOW % query.step + query.step);
        let all = every_step(
            &query,
            vec![RollupPoint {
                at: query.from + query.step,
                figures: RollupFigures {
                    accepted: 7,
                    ..RollupFigures::default()
                },
            }],
        );
        assert_eq!(all.len(), 97);
        assert_eq!((all[0].figures.accepted, all[1].figures.accepted), (0, 7));
        assert_eq!(all[96].at + query.step, query.until);
    }

    #[test]
    fn every_parameter_is_read() {
        for (parameters, subject) in [
            ("callee=EO001", RollupSubject::Callee("EO001".to_owned())),
            (
                "target=https://h.example/x",
                RollupSubject::Target("https://h.example:443".to_owned()),
            ),
            ("target=other", RollupSubject::Target("other".to_owned())),
            ("app=shop%20a", RollupSubject::App("shop a".to_owned())),
        ] {
            let query =
                format!("{parameters}&from=2025-11-23T10:00:00Z&to=2025-11-23T12:00:00Z&step=1h");
            let query = parse(&query, NOW).unwrap();
            assert_eq!(query.subject, subject);
            assert_eq!(
                (query.until - query.from, query.step),
                (2 * HOUR_MS, HOUR_MS)
            );
        }
        // The future is left out.
        let query = parse("to=2030-01-01&from=2025-11-23T12:00:00Z", NOW).unwrap();
        assert_eq!(
            (query.step, query.until),
            (MINUTE_MS, NOW.next_multiple_of(MINUTE_MS))
        );
    }

    #[test]
    fn what_cannot_be_answered_is_refused_with_a_sentence() {
        for (query, sentence) in [
            ("callee=a&app=b", "give one of callee, target and app"),
            ("callee=", "\"callee\" is empty"),
            ("target=h.example", "must be a URL with its scheme"),
            ("step=90s", "whole minutes from 1m to 365d"),
            ("step=0m", "whole minutes"),
            ("step=1000y", "whole minutes"),
            ("step=5", "whole minutes"),
            (
                "from=yesterday",
                "\"from\" \"yesterday\" is not a timestamp",
            ),
            (
                "from=2025-11-23T12:00:00Z&to=2025-11-23T11:00:00Z",
                "from must be before to",
            ),
            ("from=2030-01-01", "from must be before to"),
            ("callee_no=a", "unknown parameter"),
            ("app=a&app=b", "duplicate parameter"),
            (
                "from=2025-10-24T12:13:20Z&step=1m",
                "these are 43201 steps, and an answer has at most 1500: give a step of 29m or longer",
            ),
        ] {
            let refused = parse(query, NOW).unwrap_err().to_string();
            assert!(refused.contains(sentence), "{query}: {refused}");
        }
        // The step that is asked for suffices.
        assert!(parse("from=2025-10-24T12:13:20Z&step=29m", NOW).is_ok());
        assert!(parse("from=1970-01-01", NOW).is_ok());
    }

    #[test]
    fn the_default_step_grows_with_the_time() {
        for (hours, minutes) in [(1, 1), (3, 5), (24, 15), (7 * 24, 180), (30 * 24, 360)] {
            let step = default_step(hours * HOUR_MS);
            assert_eq!(step, minutes * MINUTE_MS, "{hours}");
        }
    }
}
