//! A filter as SQL conditions that use an index.

use contract::CallbackStatus;
use sqlx::{Postgres, QueryBuilder};

use super::row::{code, storable};
use crate::column::{bigint, first_id};
use crate::model::Filter;

/// The stored statuses that match; empty if any status does.
pub(super) fn statuses(filter: &Filter) -> Vec<CallbackStatus> {
    match filter.status {
        Some(CallbackStatus::Delivering) => vec![CallbackStatus::Queued, CallbackStatus::Retrying],
        // Only dead letters have a reason. Given both conditions, the planner underestimates the
        // rows.
        Some(CallbackStatus::Dead) if filter.reason.is_some() => Vec::new(),
        status => status.into_iter().collect(),
    }
}

/// Pushes all conditions except the status, joined by AND; `true` if there are none.
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
            sql.push_bind(storable(text).into_owned());
        }
    }
    // By the id, which holds the time of acceptance: it selects the partitions.
    if let Some(since) = filter.since {
        sql.push(" AND request_id >= ").push_bind(first_id(since));
    }
    if let Some(until) = filter.until {
        sql.push(" AND request_id < ").push_bind(first_id(until));
    }
    if let Some(before) = filter.updated_before {
        sql.push(" AND updated_at < ").push_bind(bigint(before));
    }
    if filter.status == Some(CallbackStatus::Delivering) {
        sql.push(" AND next_attempt_at <= ").push_bind(bigint(now));
    }
    if !filter.discarded {
        sql.push(" AND NOT discarded");
    }
}

/// Pushes the status too: as literals, so that the planner can use a partial index.
pub(super) fn push_all(sql: &mut QueryBuilder<Postgres>, filter: &Filter, now: u64) {
    push_conditions(sql, filter, now);
    let codes: Vec<String> = statuses(filter)
        .into_iter()
        .map(|status| code(status).to_string())
        .collect();
    if !codes.is_empty() {
        sql.push(format_args!(" AND status IN ({})", codes.join(", ")));
    }
}
