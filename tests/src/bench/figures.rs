//! What was measured, and how is it shown? As medians, in the order of the first measurement.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Named measurements, each made several times.
#[derive(Debug, Default)]
pub struct Figures {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
}

impl Figures {
    /// Notes one measurement.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row {
                name: name.to_owned(),
                unit,
                values: vec![value],
            }),
        }
    }

    /// The median of a row.
    pub fn median(&self, name: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        Some(median(&row.values))
    }

    /// Notes how many times larger one row's median is than another's.
    pub fn compare(&mut self, name: &str, large: &str, small: &str) {
        if let (Some(large), Some(small)) = (self.median(large), self.median(small)) {
            self.add(name, "x", large / small);
        }
    }

    /// A Markdown table: median, smallest and largest.
    pub fn table(&self) -> String {
        let mut table =
            String::from("| what | median | min | max | unit |\n|---|--:|--:|--:|---|\n");
        for row in &self.rows {
            let (min, max) = ends(&row.values);
            let shown = [median(&row.values), min, max].map(short);
            let [median, min, max] = &shown;
            let (name, unit) = (&row.name, row.unit);
            let _ = writeln!(table, "| {name} | {median} | {min} | {max} | {unit} |");
        }
        table
    }

    /// Everything that was measured.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({"name": row.name, "unit": row.unit, "median": median(&row.values), "values": row.values})
        });
        Value::Array(rows.collect())
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

fn ends(values: &[f64]) -> (f64, f64) {
    let fold = |start, pick: fn(f64, f64) -> f64| values.iter().copied().fold(start, pick);
    (
        fold(f64::INFINITY, f64::min),
        fold(f64::NEG_INFINITY, f64::max),
    )
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
        for value in [1.0, 2.0] {
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
}
