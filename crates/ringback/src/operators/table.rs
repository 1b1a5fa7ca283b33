//! How does a list look on a terminal?

use crate::admin::pauses::{PauseView, TargetView};
use crate::admin::view::{AuditView, CallbackView};
use crate::admin::why::one_line;

/// The widest that a cell of free text gets, in characters.
const WIDEST: usize = 48;

/// Callbacks, one a line.
pub(crate) fn callbacks(callbacks: &[CallbackView]) -> String {
    let head = [
        "accepted",
        "request_id",
        "status",
        "app",
        "to",
        "type",
        "reason",
    ];
    let rows = callbacks.iter().map(|it| {
        let to = match (&it.callee_no, it.target.as_str()) {
            (Some(no), "") => no.clone(),
            (Some(no), target) => format!("{no} {target}"),
            (None, target) => target.to_owned(),
        };
        let reason = it.reason.as_ref().or(it.waiting_for.as_ref());
        [
            contract::rfc3339(it.created_at),
            it.request_id.to_string(),
            it.status.clone(),
            it.app_id.clone(),
            to,
            it.message_type.clone(),
            reason.cloned().unwrap_or_default(),
        ]
    });
    table(&head, rows)
}

/// The audit log, one entry a line.
pub(crate) fn audits(entries: &[AuditView]) -> String {
    let head = ["when", "who", "what", "how many", "which", "why"];
    let rows = entries.iter().map(|it| {
        [
            contract::rfc3339(it.at),
            it.who.clone(),
            it.action.clone(),
            it.count.to_string(),
            it.subject.clone(),
            it.reason.clone(),
        ]
    });
    table(&head, rows)
}

/// Pauses, one a line.
pub(crate) fn pauses(pauses: &[PauseView]) -> String {
    let head = ["since", "callee or target", "who", "why"];
    let rows = pauses.iter().map(|it| {
        [
            contract::rfc3339(it.at),
            name(it.callee_no.as_ref(), it.target.as_ref()),
            it.who.clone(),
            it.reason.clone(),
        ]
    });
    table(&head, rows)
}

/// Targets, one a line.
pub(crate) fn targets(targets: &[TargetView]) -> String {
    let head = [
        "callee or target",
        "in flight",
        "waiting",
        "parked",
        "calls",
        "success",
        "p50 ms",
        "p99 ms",
        "breaker",
        "state",
    ];
    let number = |it: Option<f64>| it.map_or_else(|| "-".to_owned(), |it| format!("{it:.0}"));
    let rows = targets.iter().map(|it| {
        let state = match (it.paused, it.probe_in_s, it.held_for_s) {
            (true, _, _) => "paused".to_owned(),
            (_, Some(wait), _) => format!("probes in {wait:.0} s"),
            (_, _, Some(wait)) => format!("asked for quiet for {wait:.0} s"),
            _ => String::new(),
        };
        let share = it.success_share.map(|it| it * 100.0);
        [
            name(it.callee_no.as_ref(), it.target.as_ref()),
            it.in_flight.to_string(),
            it.waiting.to_string(),
            it.parked.to_string(),
            it.calls.to_string(),
            share.map_or_else(|| "-".to_owned(), |it| format!("{it:.1} %")),
            number(it.p50_ms),
            number(it.p99_ms),
            it.breaker.clone(),
            state,
        ]
    });
    table(&head, rows)
}

fn name(callee_no: Option<&String>, target: Option<&String>) -> String {
    callee_no.or(target).cloned().unwrap_or_default()
}

/// Columns under one another; the last one is as long as it is.
fn table<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let plain = |cell: String, place: usize| {
        let cell = one_line(&cell);
        if place + 1 == N || cell.chars().count() <= WIDEST {
            return cell;
        }
        let short: String = cell.chars().take(WIDEST - 1).collect();
        format!("{short}…")
    };
    let mut all = vec![head.map(str::to_owned)];
    for row in rows {
        let mut place = 0..;
        all.push(row.map(|cell| plain(cell, place.next().unwrap_or(0))));
    }
    let widths: [usize; N] = std::array::from_fn(|place| {
        let cells = all.iter().filter_map(|row| row.get(place));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
        let line: Vec<String> = cells.collect();
        line.join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::why::tests::callback;

    #[test]
    fn the_columns_stand_under_one_another() {
        let mut long = callback("dead");
        long.app_id = "乐".repeat(60);
        long.reason = Some("exhausted".to_owned());
        let mut named = callback("retrying");
        named.callee_no = Some("EO001".to_owned());
        named.waiting_for = Some("a\nb".to_owned());
        let table = callbacks(&[long, named]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        let column = |line: &str, word: &str| {
            let before = line.split(word).next().unwrap();
            before.chars().count()
        };
        let at = column(lines[0], "reason");
        assert_eq!(column(lines[1], "exhausted"), at, "{table}");
        assert_eq!(column(lines[2], "a b"), at, "{table}");
        assert!(lines[1].contains('…'), "{table}");
        assert!(lines[2].contains("EO001 https://h.example:443"), "{table}");
    }

    #[test]
    fn nothing_is_a_head_alone() {
        assert_eq!(audits(&[]).lines().count(), 1);
    }
}
