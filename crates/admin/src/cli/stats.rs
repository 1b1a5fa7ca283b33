//! `ringback stats`: a line for each figure, with its course.

use journal::RollupFigures;

use super::args::StatsArgs;
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::local_time;
use super::stdout::{print_body, print_line};
use super::table::{self, StatsLine};
use crate::api::stats::step_text;
use crate::api::stats_view::StatsView;
use crate::config::AdminConfig;
use runtime::clock::now_ms;

/// The most columns of a sparkline.
const MAX_COLUMNS: usize = 60;
/// From a little to the most. What is nothing is a dot.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const NOTHING: char = '·';

/// Takes one count out of the figures.
type CountOf = fn(&RollupFigures) -> u64;

/// `ringback stats`
pub(super) async fn show(args: StatsArgs, config: &AdminConfig) -> Result<(), CliError> {
    let parameters = args.parameters(now_ms()).map_err(CliError::Failed)?;
    let client = AdminClient::new(args.api.admin, config)?;
    let body = client.get("/admin/v1/stats", &parameters).await?;
    if args.api.json {
        return Ok(print_body(&body)?);
    }
    print_line(&render(&parse(&body)?))?;
    Ok(())
}

/// The answer for people.
fn render(stats: &StatsView) -> String {
    let subject = subject(stats);
    let (from, to) = (local_time::show(stats.from), local_time::show(stats.to));
    if RollupFigures::from(&stats.total).is_empty() {
        return format!("nothing was counted for {subject} from {from} to {to}");
    }
    let columns = columns(stats);
    let minutes = u64::max(stats.to.saturating_sub(stats.from) / 60_000, 1);
    let (step, each) = (stats.step_s, columns.steps_each);
    let wide = u64::try_from(each).unwrap_or(1).saturating_mul(step);
    let counts: [(&str, CountOf); 5] = [
        ("accepted", |it| it.accepted),
        ("delivered", |it| it.delivered),
        ("failed attempts", |it| it.failed),
        ("deferrals", |it| it.deferred),
        ("dead", |it| it.dead),
    ];
    let total = RollupFigures::from(&stats.total);
    let mut lines: Vec<StatsLine> = counts
        .into_iter()
        .map(|(name, count)| {
            let course: Vec<f64> = columns.figures.iter().map(|it| count(it) as f64).collect();
            let most = columns.figures.iter().map(count).max().unwrap_or(0);
            StatsLine {
                name: name.to_owned(),
                total: count(&total).to_string(),
                per_minute: format!("{:.1}", count(&total) as f64 / minutes as f64),
                most: most.to_string(),
                course: sparkline(&course),
            }
        })
        .collect();
    for (name, part) in [("p50 ms", 0.5), ("p99 ms", 0.99)] {
        let course: Vec<f64> = columns
            .figures
            .iter()
            .map(|it| it.latency_quantile(part).unwrap_or(0.0))
            .collect();
        let most = course.iter().copied().fold(0.0, f64::max);
        lines.push(StatsLine {
            name: name.to_owned(),
            total: total
                .latency_quantile(part)
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}")),
            per_minute: "-".to_owned(),
            most: format!("{most:.0}"),
            course: sparkline(&course),
        });
    }
    let wide = step_text(wide);
    format!(
        "{subject}, {from} to {to}\n{}",
        table::stats(
            &lines,
            &format!("most in {wide}"),
            &format!("a column is {wide}")
        )
    )
}

fn subject(stats: &StatsView) -> String {
    match (&stats.callee, &stats.target, &stats.app) {
        (Some(callee), _, _) => format!("callee {callee}"),
        (None, Some(target), _) => format!("target {target}"),
        (None, None, Some(app)) => format!("app {app}"),
        (None, None, None) => "all callbacks".to_owned(),
    }
}

/// The steps, added up so that they fit on a line.
struct Columns {
    steps_each: usize,
    figures: Vec<RollupFigures>,
}

fn columns(stats: &StatsView) -> Columns {
    let steps_each = stats.points.len().div_ceil(MAX_COLUMNS).max(1);
    let figures = stats.points.chunks(steps_each).map(|steps| {
        let mut sum = RollupFigures::default();
        for step in steps {
            sum += &RollupFigures::from(&step.figures);
        }
        sum
    });
    Columns {
        steps_each,
        figures: figures.collect(),
    }
}

/// A column for each value, the greatest being the highest.
fn sparkline(values: &[f64]) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let levels = values.iter().map(|value| {
        if *value <= 0.0 {
            return NOTHING;
        }
        // The level whose share of the greatest value is not below that of this one.
        let bounds = (1_u8..).map(|level| most * f64::from(level) / 8.0);
        let mut levels = LEVELS.into_iter().zip(bounds);
        let found = levels.find(|(_, bound)| value <= bound);
        found.map_or('█', |(level, _)| level)
    });
    levels.collect()
}

#[cfg(test)]
mod tests {
    use journal::{RollupPoint, RollupQuery, RollupSubject};

    use super::*;

    /// 2025-11-23T12:00:00Z
    const AT: u64 = 1_763_899_200_000;
    const MINUTE: u64 = 60_000;

    fn stats(accepted: &[u64], subject: RollupSubject) -> StatsView {
        let steps = u64::try_from(accepted.len()).unwrap();
        let points = accepted.iter().zip(0..).map(|(accepted, number)| {
            let mut figures = RollupFigures {
                accepted: *accepted,
                ..RollupFigures::default()
            };
            figures.latency[3] = *accepted;
            RollupPoint {
                at: AT + number * MINUTE,
                figures,
            }
        });
        let points: Vec<RollupPoint> = points.collect();
        let query = RollupQuery {
            subject,
            from: AT,
            until: AT + steps * MINUTE,
            step: MINUTE,
        };
        StatsView::of(&query, &points)
    }

    #[test]
    fn every_figure_has_a_line_with_its_course() {
        let view = stats(&[0, 1, 4, 8], RollupSubject::Callee("EO001".to_owned()));
        let text = render(&view);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "callee EO001, 2025-11-23T12:00:00.000Z to 2025-11-23T12:04:00.000Z"
        );
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(lines[1].contains("most in 1m"), "{text}");
        assert!(lines[1].ends_with("a column is 1m"), "{text}");
        assert_eq!(words(lines[2]), ["accepted", "13", "3.2", "8", "·▁▄█"]);
        assert_eq!(words(lines[3]), ["delivered", "0", "0.0", "0", "····"]);
        assert_eq!(words(lines[7]), ["p50", "ms", "38", "-", "38", "·███"]);
        assert_eq!(lines.len(), 9);
    }

    #[test]
    fn many_steps_are_added_up_to_fit_on_a_line() {
        let view = stats(&[1; 130], RollupSubject::All);
        let text = render(&view);
        assert!(text.starts_with("all callbacks, "), "{text}");
        assert!(text.contains("a column is 3m"), "{text}");
        let accepted = text.lines().nth(2).unwrap();
        let course = accepted.split_whitespace().last().unwrap();
        assert_eq!(course.chars().count(), 44, "{text}");
        assert!(accepted.contains("130"), "{text}");
    }

    #[test]
    fn an_empty_answer_says_so() {
        let view = stats(&[0, 0], RollupSubject::App("shop".to_owned()));
        let expected = "nothing was counted for app shop from 2025-11-23T12:00:00.000Z to \
                        2025-11-23T12:02:00.000Z";
        assert_eq!(render(&view), expected);
    }
}
