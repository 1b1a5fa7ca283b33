//! How does a filter become conditions that an index answers?

use sqlx::{Postgres, QueryBuilder};

use super::days::first_id;
use super::row::code;
use super::write::clean;
use crate::callback::Status;
use crate::precedence::number;
use crate::query::Filter;

/// The stored statuses that match; none where any does.
pub(super) fn statuses(filter: &Filter) -> Vec<Status> {
    match filter.status {
        Some(Status::Delivering) => vec![Status::Queued, Status::Retrying],
        // Nothing else has a reason. Said twice, the planner takes it to be far rarer than it is.
        Some(Status::Dead) if filter.reason.is_some() => Vec::new(),
        status => status.into_iter().collect(),
    }
}

/// Pushes all conditions but the status, joined by AND; true where there are none.
pub(super) fn push_conditions(sql: &mut QueryBuilder<Postgres>, filter: &Filter, now: u64) {
    sql.push("true");
    let texts = [
        ("app_id", &filter.app_id),
        ("callee_no", &filter.callee_no),
        ("target", &filter.target),
        ("message_type", &filter.message_type),
        ("reason", &filter.reason),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            sql.push(" AND ").push(column).push(" = ");
            sql.push_bind(clean(text).into_owned());
        }
    }
    // The moment of acceptance is in the id, which alone tells the partitions apart.
    if let Some(since) = filter.since {
        sql.push(" AND request_id >= ").push_bind(first_id(since));
    }
    if let Some(until) = filter.until {
        sql.push(" AND request_id < ").push_bind(first_id(until));
    }
    if let Some(before) = filter.updated_before {
        sql.push(" AND at < ").push_bind(number(before));
    }
    if filter.status == Some(Status::Delivering) {
        sql.push(" AND next_attempt_at <= ").push_bind(number(now));
    }
    if !filter.discarded {
        sql.push(" AND NOT discarded");
    }
}

/// Pushes the status too: the numbers stand in the text, where the planner sees that a partial
/// index will do.
pub(super) fn push_all(sql: &mut QueryBuilder<Postgres>, filter: &Filter, now: u64) {
    push_conditions(sql, filter, now);
    let codes = statuses(filter).into_iter().map(|it| code(it).to_string());
    let codes: Vec<String> = codes.collect();
    if !codes.is_empty() {
        sql.push(format_args!(" AND status IN ({})", codes.join(", ")));
    }
}
