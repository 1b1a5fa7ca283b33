//! Small charts of the last hour, one bar for each minute: SVG in the page, without a script.

use super::texts::Texts;

/// The height of the drawing, in its own units. A bar is two wide.
const HEIGHT: u64 = 24;
const BAR: usize = 2;

/// A chart, and what it says in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sparkline {
    /// Names it in the page.
    pub(super) id: &'static str,
    /// What is counted.
    pub(super) title: String,
    /// The figures, for those who do not see it.
    pub(super) description: String,
    pub(super) width: usize,
    /// The bars: the data of a path.
    pub(super) path: String,
    pub(super) sum: u64,
}

impl Sparkline {
    /// The chart of these counts, one for each minute, the oldest first.
    pub(super) fn of(id: &'static str, name: &str, counts: &[u64], t: &Texts) -> Self {
        let max = counts.iter().copied().max().unwrap_or_default();
        let sum = counts
            .iter()
            .fold(0, |all: u64, count| all.saturating_add(*count));
        let bars = counts.iter().enumerate().map(|(minute, count)| {
            let x = minute * BAR + 1;
            let top = HEIGHT - height(*count, max);
            format!("M{x} {HEIGHT}V{top}")
        });
        Self {
            id,
            title: format!("{name}: {}", t.each_minute),
            description: format!("{} {sum}; {} {max}", t.hour_sum, t.minute_max),
            width: counts.len() * BAR,
            path: bars.collect(),
            sum,
        }
    }
}

/// How high a bar is. Something is never drawn as nothing.
fn height(count: u64, max: u64) -> u64 {
    match count {
        0 => 0,
        count => (u128::from(count) * u128::from(HEIGHT) / u128::from(max.max(1)))
            .try_into()
            .unwrap_or(HEIGHT)
            .max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::language::PageLanguage;

    #[test]
    fn the_highest_minute_fills_the_chart_and_a_single_one_is_seen() {
        let t = Texts::of(PageLanguage::English);
        let chart = Sparkline::of("accepted", "Accepted", &[0, 1, 12, 1_000], t);
        assert_eq!(chart.path, "M1 24V24M3 24V23M5 24V23M7 24V0");
        assert_eq!((chart.width, chart.sum), (8, 1_013));
        assert_eq!(chart.title, "Accepted: each minute of the last hour");
        assert_eq!(
            chart.description,
            "in the last hour: 1013; most in a minute: 1000"
        );
        let flat = Sparkline::of("accepted", "Accepted", &[0, 0], t);
        assert_eq!(flat.path, "M1 24V24M3 24V24");
        let huge = Sparkline::of("accepted", "Accepted", &[u64::MAX, u64::MAX], t);
        assert_eq!(huge.path, "M1 24V0M3 24V0");
    }
}
