//! Renders lists as tables with aligned columns, also with Chinese text.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, Row, Table, Width};

use crate::api::view::{AuditView, CallbackView, PauseView, TargetView};
use runtime::text::one_line;

/// The maximum width of all columns but the last, in terminal columns.
const MAX_COLUMN_WIDTH: u16 = 48;
/// Not cut off.
const WHOLE: u16 = u16::MAX;

/// Callbacks, one per line.
pub(super) fn callbacks(callbacks: &[CallbackView]) -> String {
    let header = [
        "accepted",
        "request_id",
        "status",
        "app",
        "to",
        "type",
        "reason",
    ];
    let rows = callbacks.iter().map(|callback| {
        let to = match (&callback.callee_no, callback.target.as_str()) {
            (Some(no), "") => no.clone(),
            (Some(no), target) => format!("{no} {target}"),
            (None, target) => target.to_owned(),
        };
        let reason = callback
            .reason
            .as_ref()
            .or(callback.deferred_reason.as_ref());
        [
            contract::rfc3339(callback.created_at),
            callback.request_id.to_string(),
            callback.status.to_string(),
            callback.app_id.clone(),
            to,
            callback.message_type.clone(),
            reason.cloned().unwrap_or_default(),
        ]
    });
    table(header, rows)
}

/// The audit log, one entry per line.
pub(super) fn audit(entries: &[AuditView]) -> String {
    let header = ["time", "actor", "action", "count", "subject", "reason"];
    let rows = entries.iter().map(|entry| {
        [
            contract::rfc3339(entry.occurred_at),
            entry.actor.clone(),
            entry.action.clone(),
            entry.count.to_string(),
            entry.subject.clone(),
            entry.reason.clone(),
        ]
    });
    // What was done to which callbacks is read here: nothing is cut off.
    table_with(WHOLE, header, rows)
}

/// Pauses, one per line.
pub(super) fn pauses(pauses: &[PauseView]) -> String {
    let header = ["since", "callee or target", "actor", "reason"];
    let rows = pauses.iter().map(|pause| {
        [
            contract::rfc3339(pause.paused_at),
            name(pause.callee_no.as_ref(), pause.target.as_ref()),
            pause.actor.clone(),
            pause.reason.clone(),
        ]
    });
    table(header, rows)
}

/// Targets, one per line.
pub(super) fn targets(targets: &[TargetView]) -> String {
    let header = [
        "callee or target",
        "in flight",
        "waiting",
        "deferrals",
        "calls",
        "success",
        "p50 ms",
        "p99 ms",
        "breaker",
        "state",
    ];
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    let rows = targets.iter().map(|target| {
        let state = match (target.paused, target.probe_in_s, target.retry_after_s) {
            (true, _, _) => "paused".to_owned(),
            (false, Some(wait), _) => format!("probes in {wait:.0} s"),
            (false, None, Some(wait)) => format!("Retry-After, {wait:.0} s left"),
            (false, None, None) => String::new(),
        };
        let success = target.success_ratio.map(|ratio| ratio * 100.0);
        [
            name(target.callee_no.as_ref(), target.target.as_ref()),
            target.in_flight.to_string(),
            target.waiting.to_string(),
            target.deferrals.to_string(),
            target.calls.to_string(),
            success.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %")),
            number(target.p50_ms),
            number(target.p99_ms),
            breaker(target),
            state,
        ]
    });
    table(header, rows)
}

/// Its state, and for how many apps, if for more than one.
fn breaker(target: &TargetView) -> String {
    match target.breaker_apps {
        0 | 1 => target.breaker.clone(),
        apps => format!("{}, {apps} apps", target.breaker),
    }
}

fn name(callee_no: Option<&String>, target: Option<&String>) -> String {
    callee_no.or(target).cloned().unwrap_or_default()
}

/// Two spaces between the columns, no lines. Long cells are cut off, except in the last column.
fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    table_with(MAX_COLUMN_WIDTH, header, rows)
}

fn table_with<const N: usize>(
    max_width: u16,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    for cells in rows {
        let mut row = Row::from(cells.map(|cell| one_line(&cell).into_owned()));
        row.max_height(1);
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_delimiter('\n'); // Cuts anywhere, not only between words.
        if index + 1 < N && max_width < WHOLE {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(max_width)));
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use contract::CallbackStatus;

    use super::*;
    use crate::cli::timeline::tests::callback;

    /// The terminal column in which a word begins: Chinese characters take two.
    fn column(line: &str, word: &str) -> usize {
        let before = line.split(word).next().unwrap();
        before.chars().map(|c| if c == '乐' { 2 } else { 1 }).sum()
    }

    #[test]
    fn columns_align_with_chinese_text_and_long_cells_are_cut_off() {
        let mut long = callback(CallbackStatus::Dead);
        long.app_id = "乐".repeat(60);
        long.reason = Some("exhausted ".repeat(20));
        let mut named = callback(CallbackStatus::Retrying);
        named.callee_no = Some("EO001".to_owned());
        named.deferred_reason = Some("a\nb".to_owned());
        let table = callbacks(&[long, named]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        let at = column(lines[0], "reason");
        assert_eq!(column(lines[1], "exhausted"), at, "{table}");
        assert_eq!(column(lines[2], "a b"), at, "{table}");
        assert_eq!(
            column(lines[1], "https"),
            column(lines[2], "EO001"),
            "{table}"
        );
        assert!(lines[1].contains('…'), "{table}");
        let whole = "exhausted ".repeat(20);
        assert!(lines[1].ends_with(whole.trim_end()), "{table}");
        assert!(lines[2].contains("EO001 https://h.example:443"), "{table}");
        assert!(
            lines[2].starts_with("2025-11-23T12:13:10.000Z  0000"),
            "{table}"
        );
    }

    #[test]
    fn the_audit_log_is_shown_whole() {
        let long = format!("app_id {}", "a".repeat(200));
        let entry = AuditView {
            occurred_at: 1_763_900_000_000,
            updated_at: 1_763_900_000_000,
            actor: "ann".repeat(60),
            action: "replay".to_owned(),
            subject: long.clone(),
            reason: "repaired".to_owned(),
            count: 3,
        };
        let table = audit(std::slice::from_ref(&entry));
        assert!(
            table.contains(&long) && table.contains(&entry.actor),
            "{table}"
        );
        assert!(!table.contains('…'), "{table}");
    }

    #[test]
    fn an_empty_list_is_a_header_alone() {
        assert_eq!(audit(&[]).lines().count(), 1);
        assert!(pauses(&[]).starts_with("since  callee or target  actor  reason"));
    }
}
