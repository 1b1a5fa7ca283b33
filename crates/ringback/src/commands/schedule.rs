//! `ringback schedule`: when each attempt is made if all before it fail.

use std::fmt::Write;
use std::time::Duration;

use admin::cli::stdout::print_line;
use delivery::{Schedule, jittered};
use humantime::format_duration;

use crate::app::config_check::schedule;
use crate::app::settings::Settings;
use crate::error::CommandError;

/// Prints the schedule of the settings.
///
/// # Errors
/// When `retry.schedule` is not one.
pub(super) fn run(settings: &Settings) -> Result<(), CommandError> {
    Ok(print_line(&table(&schedule(settings)?))?)
}

/// The schedule as a table for people, as if attempts took no time.
fn table(schedule: &Schedule) -> String {
    let mut table = String::new();
    row(
        &mut table,
        "attempt",
        "wait before",
        "from start",
        "at most, by jitter",
    );
    row(&mut table, "1", "-", "0s", "0s");
    let (mut start, mut latest) = (Duration::ZERO, Duration::ZERO);
    for (attempt, &wait) in (2..).zip(schedule.waits()) {
        start += wait;
        latest += jittered(wait, 1.0);
        let [wait, start, latest] =
            [wait, start, latest].map(|time| format_duration(time).to_string());
        row(&mut table, &format!("{attempt}"), &wait, &start, &latest);
    }
    let last = schedule.attempts();
    let _ = write!(
        table,
        "\nA callback whose attempt {last} fails is dead-lettered. The broker never shortens a wait; \
         it rounds up to whole seconds, and long waits by up to 2 %."
    );
    table
}

/// Writing to a String cannot fail.
fn row(table: &mut String, attempt: &str, wait: &str, start: &str, latest: &str) {
    let _ = writeln!(table, "{attempt:>7}  {wait:>14}  {start:>18}  {latest:>20}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: &[u64], rows: &[[&str; 4]]) {
        let waits = seconds.iter().copied().map(Duration::from_secs).collect();
        let table = table(&Schedule::new(waits).unwrap());
        let found: Vec<Vec<&str>> = table
            .lines()
            .skip(1)
            .take(seconds.len() + 1)
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(found, rows, "{table}");
    }

    #[test]
    fn waits_add_up_with_and_without_jitter() {
        check(
            &[1, 2, 4],
            &[
                ["1", "-", "0s", "0s"],
                ["2", "1s", "1s", "1s 200ms"],
                ["3", "2s", "3s", "3s 600ms"],
                ["4", "4s", "7s", "8s 400ms"],
            ],
        );
        check(
            &[600, 36_000],
            &[
                ["1", "-", "0s", "0s"],
                ["2", "10m", "10m", "12m"],
                ["3", "10h", "10h 10m", "12h 12m"],
            ],
        );
    }

    #[test]
    fn the_columns_are_aligned_and_the_end_is_explained() {
        let table = table(&Schedule::default());
        let widths: Vec<usize> = table.lines().take(10).map(str::len).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
        assert!(table.contains("attempt 9 fails"), "{table}");
    }
}
