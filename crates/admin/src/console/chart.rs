//! A bar chart of figures per hour, as shapes of an SVG without scripts and styles of its own.

use super::texts::Texts;
use super::when::When;
use crate::api::stats_view::StatsView;

/// The height of the bars, in units of the picture.
const HEIGHT: u64 = 100;
/// The width of an hour.
const STEP: usize = 24;
/// How much an hour's name takes below the bars.
const LABEL: usize = 2 * STEP;
/// The width of a bar.
const BAR: usize = 9;

/// The picture.
pub(super) struct Chart {
    pub(super) width: usize,
    /// The width of every bar.
    pub(super) bar: usize,
    pub(super) bars: Vec<Bar>,
    /// The hours that are named below the bars.
    pub(super) labels: Vec<(usize, String)>,
    /// The largest number, which has the whole height.
    pub(super) most: u64,
    pub(super) hours: Vec<HourLine>,
    /// Whether anything happened.
    pub(super) is_empty: bool,
}

/// A rectangle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: usize,
    pub(super) y: u64,
    pub(super) height: u64,
}

/// The same figures as numbers.
pub(super) struct HourLine {
    pub(super) at: When,
    pub(super) accepted: u64,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) deferred: u64,
    pub(super) dead: u64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
}

impl Chart {
    /// The chart of these figures, as seen at `now` (Unix ms).
    pub(super) fn of(stats: &StatsView, now: u64, t: &Texts) -> Self {
        let hours: Vec<HourLine> = stats
            .points
            .iter()
            .map(|point| HourLine {
                at: When::of(point.at, now, t),
                accepted: point.figures.accepted,
                delivered: point.figures.delivered,
                failed: point.figures.failed,
                deferred: point.figures.deferred,
                dead: point.figures.dead,
                p50_ms: point.figures.p50_ms,
                p99_ms: point.figures.p99_ms,
            })
            .collect();
        let most = hours
            .iter()
            .map(|hour| hour.accepted.max(sum(hour)))
            .max()
            .unwrap_or(0);
        let bars = hours.iter().enumerate();
        let width = hours.len() * STEP;
        let labels = hours.iter().enumerate().step_by(6);
        let labels = labels.filter(|(number, _)| number * STEP + LABEL <= width);
        Self {
            width,
            bar: BAR,
            bars: bars
                .flat_map(|(number, hour)| bars_of(number, hour, most))
                .collect(),
            labels: labels
                .map(|(number, hour)| (number * STEP, hour_of(&hour.at)))
                .collect(),
            is_empty: most == 0,
            most,
            hours,
        }
    }
}

fn sum(hour: &HourLine) -> u64 {
    hour.delivered
        .saturating_add(hour.failed)
        .saturating_add(hour.dead)
}

/// `2025-11-23 12:00:00 UTC` as `12:00`.
fn hour_of(at: &When) -> String {
    at.shown.get(11..16).unwrap_or_default().to_owned()
}

/// What was accepted, and beside it what became of callbacks, one above the other.
fn bars_of(number: usize, hour: &HourLine, most: u64) -> Vec<Bar> {
    let left = number * STEP;
    let mut bars = vec![bar("accepted", left + 2, 0, hour.accepted, most)];
    let mut below = 0;
    for (class, count) in [
        ("delivered", hour.delivered),
        ("failed", hour.failed),
        ("dead", hour.dead),
    ] {
        let part = bar(class, left + 2 + BAR + 1, below, count, most);
        below = (below + part.height).min(HEIGHT);
        bars.push(part);
    }
    bars.retain(|bar| bar.height > 0);
    bars
}

/// What is not nothing can be seen.
fn bar(class: &'static str, x: usize, below: u64, count: u64, most: u64) -> Bar {
    let share = u128::from(count) * u128::from(HEIGHT);
    let height = share.div_ceil(u128::from(most.max(1)));
    let height = u64::try_from(height).unwrap_or(HEIGHT).min(HEIGHT - below);
    Bar {
        class,
        x,
        y: HEIGHT - below - height,
        height,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_has_the_whole_height_and_the_least_can_be_seen() {
        for (count, most, height) in [(0, 10, 0), (10, 10, 100), (5, 10, 50), (1, 100_000, 1)] {
            let found = bar("accepted", 0, 0, count, most);
            assert_eq!((found.height, found.y), (height, 100 - height), "{count}");
        }
        let above = bar("dead", 0, 60, u64::MAX, u64::MAX);
        assert_eq!((above.y, above.height), (0, 40));
        assert_eq!(bar("dead", 0, 0, 1, 0).height, 100);
    }
}
