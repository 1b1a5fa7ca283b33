//! Renders lists as tables with aligned columns, also with Chinese text.

use std::collections::BTreeMap;

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, Row, Table, Width};

use super::local_time;
use crate::api::process_view::{
    AppView, InstanceView, LastErrorView, ReloadOutcome, ReloadedView, TargetView, UnfinishedView,
};
use crate::api::view::{AuditView, CallbackView, PauseView, UnreadableView};
use crate::doctor::breaker_words;
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
            (Some(no), "") => named(no, callback.callee_name.as_ref()),
            (Some(no), target) => {
                format!("{} {target}", named(no, callback.callee_name.as_ref()))
            }
            (None, target) => target.to_owned(),
        };
        let reason = callback.reason.as_deref();
        let reason = reason.or(callback.deferred_reason.as_deref());
        let words = [reason, callback.last_cause.as_deref()];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        [
            local_time::show(callback.created_at),
            callback.request_id.to_string(),
            match callback.due_since {
                // Whether a process holds it is not known to a list.
                Some(_) => format!("{}, due", callback.status),
                None => callback.status.to_string(),
            },
            callback.app_id.clone(),
            to,
            callback.message_type.clone(),
            words.join(": "),
        ]
    });
    table(header, rows)
}

/// The audit log, one entry per line.
pub(super) fn audit(entries: &[AuditView]) -> String {
    let header = ["time", "actor", "action", "count", "subject", "reason"];
    let rows = entries.iter().map(|entry| {
        [
            local_time::show(entry.occurred_at),
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
    let header = ["since", "kind", "name", "actor", "reason"];
    let rows = pauses.iter().map(|pause| {
        let names = [
            &pause.callee_no,
            &pause.target,
            &pause.app_id,
            &pause.message_type,
        ];
        let name = names.into_iter().flatten().next();
        [
            local_time::show(pause.paused_at),
            pause.kind.replace('_', " "),
            match &pause.callee_no {
                Some(no) => named(no, pause.callee_name.as_ref()),
                None => name.cloned().unwrap_or_default(),
            },
            pause.actor.clone(),
            pause.reason.clone(),
        ]
    });
    table(header, rows)
}

/// Unreadable messages, one per line.
pub(super) fn unreadable(messages: &[UnreadableView]) -> String {
    let header = ["quarantined", "id", "from", "bytes", "now", "reason"];
    let rows = messages.iter().map(|message| {
        let unknown = || "-".to_owned();
        let now = match message.readable_now {
            true => "readable",
            false => "unreadable",
        };
        [
            message
                .quarantined_at
                .map_or_else(unknown, contract::rfc3339),
            message.id.clone(),
            message.from.clone().unwrap_or_else(unknown),
            message.size.to_string(),
            now.to_owned(),
            message.reason.clone().unwrap_or_else(unknown),
        ]
    });
    table(header, rows)
}

/// Processes, one per line.
pub(super) fn instances(instances: &[InstanceView]) -> String {
    let header = [
        "role",
        "process",
        "version",
        "uptime",
        "clock",
        "settings",
        "last reload",
        "state",
    ];
    let rows = instances.iter().map(|it| {
        let clock = it.clock_offset_ms.map_or_else(
            || UNKNOWN.to_owned(),
            |ms| {
                format!(
                    "{}{:.1} s",
                    if ms < 0 { "-" } else { "+" },
                    as_seconds(ms.unsigned_abs())
                )
            },
        );
        let settings = match it.settings_differ.is_empty() {
            true => it.settings.clone(),
            false => format!("{} differs: {}", it.settings, it.settings_differ.join(", ")),
        };
        let reload = it.reload.as_ref().map_or_else(
            || "none".to_owned(),
            |reload| {
                let how = match (&reload.refused, reload.restart.is_empty()) {
                    (Some(_), _) => "refused",
                    (None, true) => "done",
                    (None, false) => "needs a restart",
                };
                format!("{} {how}", local_time::show(reload.at))
            },
        );
        let state = match (it.answered, it.heard_s_ago) {
            (true, _) => "answers".to_owned(),
            (false, Some(seconds)) => format!("silent, heard {} ago", span(seconds)),
            (false, None) => "silent".to_owned(),
        };
        [
            it.role.clone(),
            format!("{}:{}", it.host, it.pid),
            it.version.clone(),
            span(it.uptime_s),
            clock,
            settings,
            reload,
            state,
        ]
    });
    table(header, rows)
}

/// What came of a reload, one process per line.
pub(super) fn reloads(reloads: &[ReloadedView]) -> String {
    let header = ["role", "process", "result", "detail"];
    let rows = reloads.iter().map(|it| {
        let detail = match (&it.refused, it.restart.is_empty()) {
            (Some(reason), _) => reason.clone(),
            (None, false) => format!("needs a restart for {}", it.restart.join(", ")),
            (None, true) => String::new(),
        };
        let result = match it.outcome {
            ReloadOutcome::Reloaded => "reloaded",
            ReloadOutcome::Refused => "refused",
            ReloadOutcome::Unknown => "unknown",
        };
        [
            it.role.clone(),
            format!("{}:{}", it.host, it.pid),
            result.to_owned(),
            detail,
        ]
    });
    table(header, rows)
}

/// Apps, one per line.
pub(super) fn apps(apps: &[AppView]) -> String {
    let header = [
        "app",
        "accepted/min",
        "refused/min",
        "limited/min",
        "in flight",
        "unfinished",
        "waiting",
    ];
    let known =
        |count: Option<u64>| count.map_or_else(|| UNKNOWN.to_owned(), |count| count.to_string());
    let rows = apps.iter().map(|app| {
        [
            app.app_id.clone(),
            app.accepted.to_string(),
            app.refused.to_string(),
            app.limited.to_string(),
            app.in_flight.to_string(),
            known(app.unfinished),
            known(app.waiting),
        ]
    });
    table(header, rows)
}

/// Targets, one per line; `now` in Unix ms.
pub(super) fn targets(targets: &[TargetView], now: u64) -> String {
    let header = [
        "callee or target",
        "in flight",
        "calls (5 min)",
        "delivered",
        "rejected",
        "failed",
        "success",
        "p50 ms",
        "p99 ms",
        "unfinished",
        "oldest",
        "state",
        "last error",
    ];
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    let rows = targets.iter().map(|target| {
        let success = target.success_ratio.map(|ratio| ratio * 100.0);
        let calls = &target.last_5_min;
        let (unfinished, oldest) = unfinished(target.unfinished.as_ref(), now);
        let named = target.callee_no.as_ref().map(|no| match &target.name {
            Some(name) => format!("{name} {no}"),
            None => no.clone(),
        });
        [
            name(named.as_ref(), target.target.as_ref()),
            target.in_flight.to_string(),
            calls.calls.to_string(),
            calls.delivered.to_string(),
            kinds(&calls.rejected),
            kinds(&calls.failed),
            success.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %")),
            number(target.p50_ms),
            number(target.p99_ms),
            unfinished,
            oldest,
            state(target),
            target
                .last_error
                .as_ref()
                .map_or_else(|| "none".to_owned(), |error| last_error(error, now)),
        ]
    });
    // Why a breaker opened is read here: nothing is cut off.
    table_with(WHOLE, header, rows)
}

/// One figure of the stats.
pub(super) struct StatsLine {
    pub(super) name: String,
    pub(super) total: String,
    pub(super) per_minute: String,
    pub(super) most: String,
    /// A sparkline.
    pub(super) course: String,
}

/// Stats, one figure per line.
pub(super) fn stats(lines: &[StatsLine], most: &str, course: &str) -> String {
    let header = ["", "total", "per minute", most, course];
    let rows = lines.iter().map(|line| {
        [
            line.name.clone(),
            line.total.clone(),
            line.per_minute.clone(),
            line.most.clone(),
            line.course.clone(),
        ]
    });
    table(header, rows)
}

/// What is not known is said to be unknown.
const UNKNOWN: &str = "unknown";

fn kinds(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    let kinds = counts.iter().map(|(kind, count)| format!("{count} {kind}"));
    kinds.collect::<Vec<_>>().join(", ")
}

fn unfinished(found: Option<&UnfinishedView>, now: u64) -> (String, String) {
    let Some(found) = found else {
        return (UNKNOWN.to_owned(), UNKNOWN.to_owned());
    };
    let count = match found.at_least {
        true => format!("{}+", found.count),
        false => found.count.to_string(),
    };
    let oldest = found
        .oldest_accepted_at
        .map(|at| now.saturating_sub(at) / 1_000);
    (count, oldest.map_or_else(|| "-".to_owned(), span))
}

/// Why calls wait, if they do.
fn state(target: &TargetView) -> String {
    let mut words = Vec::new();
    if target.paused {
        words.push("paused".to_owned());
    }
    if target.breaker != "closed" {
        let reason = target.breaker_reason.as_ref();
        let reason = reason
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        let apps = match (&target.callee_no, target.breaker_app_ids.as_slice()) {
            (Some(_), _) => String::new(),
            (None, names) => breaker_words::whose(target.breaker_apps, names).to_string(),
        };
        words.push(format!(
            "breaker {}{apps}{reason}",
            target.breaker.replace('_', " ")
        ));
    }
    if let Some(wait) = target.probe_in_s {
        words.push(format!("probes in {wait:.0} s"));
    }
    if let Some(wait) = target.retry_after_s {
        words.push(format!("Retry-After, {wait:.0} s left"));
    }
    match words.is_empty() {
        true => "ok".to_owned(),
        false => words.join("; "),
    }
}

fn last_error(error: &LastErrorView, now: u64) -> String {
    let status = error.http_status.map(|status| format!(" {status}"));
    let cause = error.cause.as_ref().map(|cause| format!(": {cause}"));
    format!(
        "{} ago {}{}{}",
        span(now.saturating_sub(error.at) / 1_000),
        error.outcome,
        status.unwrap_or_default(),
        cause.unwrap_or_default()
    )
}

/// A time span in its two largest units.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, _) => format!("{hours} h {} min", minutes % 60),
        (days, ..) => format!("{days} d {} h", hours % 24),
    }
}

fn as_seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// A callee's number with its name: `EO001 乐居新房`.
pub(super) fn named(callee_no: &str, name: Option<&String>) -> String {
    match name {
        Some(name) => format!("{callee_no} {name}"),
        None => callee_no.to_owned(),
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
    use crate::api::process_view::CallsView;
    use crate::cli::timeline::tests::callback;

    /// The terminal column in which a word begins: Chinese characters take two.
    fn column(line: &str, word: &str) -> usize {
        let before = line.split(word).next().unwrap();
        before
            .chars()
            .map(|c| if c > '\u{2e80}' { 2 } else { 1 })
            .sum()
    }

    #[test]
    fn columns_align_with_chinese_text_and_long_cells_are_cut_off() {
        let mut long = callback(CallbackStatus::Dead);
        long.app_id = "乐".repeat(60);
        long.reason = Some("exhausted ".repeat(20));
        let mut named = callback(CallbackStatus::Retrying);
        named.callee_no = Some("EO001".to_owned());
        named.callee_name = Some("乐居新房".to_owned());
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
        let named = "EO001 乐居新房 https://h.example:443";
        assert!(lines[2].contains(named), "{table}");
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
    fn a_target_that_answers_400_shows_no_success_and_an_open_breaker_says_why() {
        let callee = TargetView {
            callee_no: Some("EO001".to_owned()),
            name: Some("乐乐".to_owned()),
            target: None,
            in_flight: 3,
            waiting: 0,
            slots: Some(8),
            per_second: None,
            last_5_min: CallsView {
                calls: 25,
                rejected: BTreeMap::from([("4xx".to_owned(), 25)]),
                ..CallsView::default()
            },
            since_start: CallsView::default(),
            success_ratio: Some(0.0),
            last_error: Some(LastErrorView {
                outcome: "answered_4xx".to_owned(),
                http_status: Some(400),
                cause: None,
                at: 1_000_000,
                process: "dispatcher h:1".to_owned(),
            }),
            breaker: "closed".to_owned(),
            breaker_apps: 0,
            breaker_app_ids: Vec::new(),
            breaker_reason: None,
            probe_in_s: None,
            retry_after_s: None,
            p50_ms: Some(12.0),
            p99_ms: Some(80.0),
            paused: false,
            unfinished: Some(UnfinishedView {
                count: 7,
                at_least: false,
                oldest_accepted_at: Some(500_000),
                next_attempt_at: None,
            }),
        };
        let refused = TargetView {
            callee_no: None,
            name: None,
            target: Some("https://h.example:443".to_owned()),
            success_ratio: None,
            last_error: None,
            last_5_min: CallsView::default(),
            breaker: "open".to_owned(),
            breaker_apps: 2,
            breaker_app_ids: Vec::new(),
            breaker_reason: Some("12 of 20 calls failed".to_owned()),
            probe_in_s: Some(4.2),
            unfinished: None,
            ..callee.clone()
        };
        let table = targets(&[callee, refused], 1_003_000);
        let lines: Vec<&str> = table.lines().collect();
        for words in [
            "乐乐 EO001",
            "25 4xx",
            "0.0 %",
            "7 ",
            "8 min 23 s",
            "ok",
            "3 s ago answered_4xx 400",
        ] {
            assert!(lines[1].contains(words), "{words}\n{table}");
        }
        let open = "breaker open for 2 apps: 12 of 20 calls failed; probes in 4 s";
        assert!(
            lines[2].contains(open) && lines[2].contains("unknown"),
            "{table}"
        );
        assert_eq!(column(lines[1], "25"), column(lines[0], "calls"), "{table}");
        assert_eq!(
            column(lines[1], "ok"),
            column(lines[2], "breaker"),
            "{table}"
        );
    }

    #[test]
    fn an_instance_says_its_clock_its_settings_and_whether_it_answers() {
        let instance = InstanceView {
            instance: uuid::Uuid::nil(),
            role: "dispatcher".to_owned(),
            host: "h".to_owned(),
            pid: 7,
            version: "0.2.0".to_owned(),
            started_at: 0,
            uptime_s: 93_784,
            answered: false,
            heard_s_ago: Some(4),
            clock_offset_ms: Some(-2_340),
            settings: "00c0ffee".to_owned(),
            settings_differ: vec!["limits".to_owned()],
            reload: None,
        };
        let table = instances(&[instance]);
        let line = table.lines().nth(1).unwrap();
        for words in [
            "h:7",
            "1 d 2 h",
            "-2.3 s",
            "00c0ffee differs: limits",
            "silent, heard 4 s ago",
        ] {
            assert!(line.contains(words), "{words}\n{table}");
        }
    }

    #[test]
    fn an_empty_list_is_a_header_alone() {
        assert_eq!(audit(&[]).lines().count(), 1);
        assert!(pauses(&[]).starts_with("since  kind  name  actor  reason"));
    }
}
