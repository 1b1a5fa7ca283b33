//! What if: when each attempt would be made with these waits, if all before it fail.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use delivery::retry::{MAX_WAITS, ScheduleError};
use delivery::{Schedule, jittered};

use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::{filters, query};
use crate::api::state::AdminState;
use crate::doctor::said::{Said, say};
use crate::doctor::span::spoken;

#[derive(Template)]
#[template(path = "console/schedule.html")]
pub(super) struct SchedulePage {
    frame: PageFrame,
    t: &'static Texts,
    /// The waits, as they stand in the form.
    waits: String,
    /// The waits in force.
    in_force: String,
    problem: Option<String>,
    lines: Vec<AttemptLine>,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AttemptLine {
    pub(super) number: u32,
    /// After the attempt before; without jitter.
    pub(super) wait: Option<Duration>,
    /// After the first attempt, at the earliest and at the latest by jitter.
    pub(super) earliest: Duration,
    pub(super) latest: Duration,
}

impl AttemptLine {
    fn wait_text(&self, t: &Texts) -> String {
        self.wait
            .map(|wait| t.say(&spoken(wait)))
            .unwrap_or_default()
    }

    fn earliest_text(&self, t: &Texts) -> String {
        t.say(&spoken(self.earliest))
    }

    fn latest_text(&self, t: &Texts) -> String {
        t.say(&spoken(self.latest))
    }
}

/// As it is written in the settings.
fn text(duration: Duration) -> String {
    // A message counts in whole seconds.
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// `GET /console/schedule?waits=`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let in_force = in_force(&(state.settings)().toml);
    let asked = query::value(http.query_string(), "waits");
    page::answer(&visit, Ok(render(&visit, asked, in_force)))
}

pub(super) fn render(
    visit: &Visit,
    asked: Option<String>,
    in_force: Option<Vec<Duration>>,
) -> SchedulePage {
    let in_force = in_force.unwrap_or_else(|| Schedule::default().waits().to_vec());
    let in_force: Vec<String> = in_force.into_iter().map(text).collect();
    let in_force = in_force.join(", ");
    let waits = asked.unwrap_or_else(|| in_force.clone());
    let times = parse(&waits).map(|schedule| times(&schedule));
    let (lines, problem) = match times {
        Ok(lines) => (lines, None),
        Err(problem) => (Vec::new(), Some(visit.texts().say(&problem))),
    };
    SchedulePage {
        frame: PageFrame::new(visit, Section::Settings),
        t: visit.texts(),
        waits,
        in_force,
        problem,
        lines,
    }
}

/// Waits separated by commas; one may have several units: `1h 30m`.
pub(super) fn parse(waits: &str) -> Result<Schedule, Said> {
    let parts = waits
        .split([',', '，'])
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let waits: Result<Vec<Duration>, Said> = parts
        .map(|part| {
            humantime::parse_duration(part).map_err(|error| {
                let shown: String = part.chars().take(50).collect();
                say!(
                    "`{shown}`: {error}",
                    "`{shown}` 不是时长，请写成 30s、5m 或 1h 30m"
                )
            })
        })
        .collect();
    Schedule::new(waits?).map_err(|error| refused(&error))
}

/// Why these waits are no schedule.
fn refused(error: &ScheduleError) -> Said {
    let chinese = match error {
        ScheduleError::Empty => "重试计划至少需要一个等待时间".to_owned(),
        ScheduleError::TooMany { count } => {
            format!("重试计划最多 {MAX_WAITS} 个等待时间，而不是 {count} 个")
        }
        ScheduleError::TooShort { position, .. } => format!("第 {position} 个等待时间短于 1 秒"),
        ScheduleError::TooLong { position, .. } => format!("第 {position} 个等待时间超过 12 天"),
    };
    Said::both(error.to_string(), chinese)
}

/// When each attempt is made, as if attempts took no time.
pub(super) fn times(schedule: &Schedule) -> Vec<AttemptLine> {
    let mut lines = vec![AttemptLine {
        number: 1,
        wait: None,
        earliest: Duration::ZERO,
        latest: Duration::ZERO,
    }];
    let (mut earliest, mut latest) = (Duration::ZERO, Duration::ZERO);
    for (number, wait) in (2..).zip(schedule.waits()) {
        earliest += *wait;
        latest += jittered(*wait, 1.0);
        lines.push(AttemptLine {
            number,
            wait: Some(*wait),
            earliest,
            latest,
        });
    }
    lines
}

/// `retry.schedule` in the settings as they are shown.
pub(super) fn in_force(toml: &str) -> Option<Vec<Duration>> {
    let mut lines = toml.lines().skip_while(|line| *line != "[retry]").skip(1);
    let mut section = lines.by_ref().take_while(|line| !line.starts_with('['));
    let value = section.find_map(|line| line.strip_prefix("schedule = "))?;
    // A text or a list of texts is the same in JSON.
    let waits: Vec<String> = match serde_json::from_str(value).ok()? {
        serde_json::Value::String(text) => text.split([',', ' ']).map(str::to_owned).collect(),
        list => serde_json::from_value(list).ok()?,
    };
    let waits = waits.iter().filter(|wait| !wait.is_empty());
    waits
        .map(|wait| humantime::parse_duration(wait).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::said::Spoken as _;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn waits_become_the_times_of_attempts() {
        let found = times(&parse("10s, 1m 40s，5m").unwrap());
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.number, it.wait, it.earliest, it.latest))
            .collect();
        assert_eq!(
            found,
            [
                (1, None, s(0), s(0)),
                (2, Some(s(10)), s(10), s(12)),
                (3, Some(s(100)), s(110), s(132)),
                (4, Some(s(300)), s(410), s(492)),
            ]
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_a_sentence() {
        let many = "1s,".repeat(20);
        for (waits, sentence) in [
            ("", "at least one wait"),
            ("soon", "`soon`"),
            ("5", "`5`"),
            ("1s, 10ms", "wait 2 of the schedule is 10ms"),
            ("13d", "longer than 12 days"),
            (&many, "at most 19 waits"),
        ] {
            let refused = parse(waits).unwrap_err();
            assert!(refused.to_string().contains(sentence), "{waits}: {refused}");
            assert_ne!(refused.english(), refused.chinese(), "{waits}");
        }
    }

    #[test]
    fn the_schedule_in_force_is_read_from_the_settings_as_they_are_shown() {
        let toml = "[admin]\nschedule = \"9s\"\n\n[retry]\na = 1\nschedule = [\"5s\", \"30s\"]\n";
        assert_eq!(in_force(toml), Some(vec![s(5), s(30)]));
        assert_eq!(
            in_force("[retry]\nschedule = \"5s 2m\"\n"),
            Some(vec![s(5), s(120)])
        );
        for other in ["", "[retry]\n", "[retry]\n\n[x]\nschedule = \"5s\"\n"] {
            assert_eq!(in_force(other), None, "{other}");
        }
    }
}
