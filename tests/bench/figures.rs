//! Measured values, and how they are shown: one histogram for each name.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Significant digits of every value.
const DIGITS: u8 = 3;
/// Values are stored as integers of this fraction of their unit.
const SCALE: f64 = 1_000.0;

/// Named measurements, each made several times.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    unit: &'static str,
    values: Histogram<u64>,
}

impl Row {
    /// Median, minimum and maximum.
    fn summary(&self) -> [f64; 3] {
        let values = &self.values;
        let summary = [values.value_at_quantile(0.5), values.min(), values.max()];
        summary.map(|value| value as f64 / SCALE)
    }
}

impl Figures {
    /// Adds one measurement.
    ///
    /// # Panics
    /// When the value is negative or not a number.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        assert!(value >= 0.0, "{name}: {value}");
        let place = self.rows.iter().position(|row| row.name == name);
        let place = place.unwrap_or_else(|| {
            self.rows.push(Row {
                name: name.to_owned(),
                unit,
                values: histogram(),
            });
            self.rows.len() - 1
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and a cast saturates"
        )]
        let scaled = (value * SCALE).round() as u64;
        self.rows[place].values += scaled;
    }

    /// The median of a row.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        Some(row.summary()[0])
    }

    /// Adds how many times larger one row's median is than another's, if both were measurable.
    pub(crate) fn compare(&mut self, name: &str, large: &str, small: &str) {
        if let (Some(large), Some(small)) = (self.median(large), self.median(small))
            && small > 0.0
        {
            self.add(name, "x", large / small);
        }
    }

    /// A Markdown table: median, minimum and maximum.
    pub(crate) fn table(&self) -> String {
        let mut table =
            String::from("| what | median | min | max | unit |\n|---|--:|--:|--:|---|\n");
        for row in &self.rows {
            let [median, min, max] = row.summary().map(short);
            let (name, unit) = (&row.name, row.unit);
            let _ = writeln!(table, "| {name} | {median} | {min} | {max} | {unit} |");
        }
        table
    }

    /// Every row, for tools that draw or compare.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let [median, min, max] = row.summary();
            let (name, unit, count) = (&row.name, row.unit, row.values.len());
            json!({"name": name, "unit": unit, "median": median, "min": min, "max": max, "count": count})
        });
        Value::Array(rows.collect())
    }
}

/// Durations of the same kind, to a microsecond.
#[derive(Debug, Clone)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self(histogram())
    }
}

impl Times {
    /// Adds one.
    pub(crate) fn record(&mut self, time: Duration) {
        self.0 += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    }

    /// Adds all of the others.
    ///
    /// # Panics
    /// Never: both have the same precision.
    pub(crate) fn merge(&mut self, others: &Self) {
        self.0.add(&others.0).expect("the same precision");
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The milliseconds within which this percentage lies; zero of nothing.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1_000.0
    }

    /// The longest, in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1_000.0
    }

    /// Adds the median and the 99th percentile to the figures, as `p50` and `p99` of this name.
    pub(crate) fn add_to(&self, figures: &mut Figures, name: &str) {
        for percent in [50, 99] {
            let value = self.percentile_ms(f64::from(percent));
            figures.add(&format!("{name}, p{percent}"), "ms", value);
        }
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut times = Self::default();
        durations.into_iter().for_each(|time| times.record(time));
        times
    }
}

/// A histogram that grows as needed, so that adding to it cannot fail.
fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("a valid precision")
}

fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_medians_and_their_ratio() {
        let mut figures = Figures::default();
        for value in [3.0, 1.0, 200.0] {
            figures.add("a", "/s", value);
        }
        for value in [1.0, 2.0, 1.5] {
            figures.add("b", "/s", value);
        }
        figures.compare("a to b", "a", "b");
        figures.compare("nothing", "a", "c");
        let table = figures.table();
        for row in [
            "| a | 3.00 | 1.00 | 200 | /s |",
            "| b | 1.50 | 1.00 | 2.00 | /s |",
            "| a to b | 2.00 | 2.00 | 2.00 | x |",
        ] {
            assert!(table.contains(row), "{table}");
        }
        assert!(!table.contains("nothing"), "{table}");
    }

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let mut times: Times = (1..=100).rev().map(Duration::from_millis).collect();
        let shown = |times: &Times, percent| times.percentile_ms(percent).round();
        assert_eq!(shown(&times, 50.0), 50.0);
        assert_eq!(shown(&times, 99.0), 99.0);
        assert_eq!(shown(&times, 100.0), 100.0);
        assert_eq!(Times::default().percentile_ms(50.0), 0.0);
        times.merge(&times.clone());
        assert_eq!((times.len(), times.max_ms().round()), (200, 100.0));
    }
}
