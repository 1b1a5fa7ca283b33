//! A filter as SQL conditions that use an index.

use contract::CallbackStatus;
use sqlx::{Postgres, QueryBuilder};

use super::row::{code, storable};
use crate::column::{bigint, first_id};
use crate::model::{Cursor, Filter};

/// The answer to the last attempt; the status follows.
const LAST_HTTP_STATUS: &str = " AND (SELECT last.http_status FROM attempts AS last \
    WHERE last.request_id = callbacks.request_id \
    ORDER BY last.generation DESC, last.number DESC, last.started_at DESC LIMIT 1) = ";

/// The outcome of the last attempt; its label follows.
const LAST_OUTCOME: &str = " AND (SELECT last.outcome FROM attempts AS last \
    WHERE last.request_id = callbacks.request_id \
    ORDER BY last.generation DESC, last.number DESC, last.started_at DESC LIMIT 1) = ";

/// The condition by which an index finds callbacks, in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// Of one callee, and of one status if it is known.
    Callee,
    /// Of one target, and of one status if it is known.
    Target,
    /// Of one app.
    App,
    /// Dead for one reason.
    Reason,
    /// Of one message type.
    MessageType,
    /// Of one status if it is known, or else all.
    Status,
}

/// The indexes that can find what matches.
pub(super) fn leads(filter: &Filter) -> Vec<Lead> {
    let mut leads = Vec::new();
    for (lead, is_given) in [
        (Lead::Callee, filter.callee_no.is_some()),
        (Lead::Target, filter.target.is_some()),
        (Lead::App, filter.app_id.is_some()),
        (Lead::Reason, filter.reason.is_some()),
        (Lead::MessageType, filter.message_type.is_some()),
    ] {
        if is_given {
            leads.push(lead);
        }
    }
    // An index by callee or target has the status too.
    let has_status = leads.contains(&Lead::Callee) || leads.contains(&Lead::Target);
    let statuses = statuses(filter);
    let by_status = !statuses.is_empty() && !statuses.contains(&CallbackStatus::Delivered);
    if leads.is_empty() || (by_status && !has_status) {
        leads.push(Lead::Status);
    }
    leads
}

/// Pushes the condition of an index, and no other: so its entries can be counted without their rows.
pub(super) fn push_lead(
    sql: &mut QueryBuilder<Postgres>,
    filter: &Filter,
    lead: Lead,
    status: Option<CallbackStatus>,
) {
    let (column, value) = match lead {
        Lead::Callee => ("callee_no", &filter.callee_no),
        Lead::Target => ("target", &filter.target),
        Lead::App => ("app_id", &filter.app_id),
        Lead::Reason => ("reason", &filter.reason),
        Lead::MessageType => ("message_type", &filter.message_type),
        Lead::Status => ("true", &None),
    };
    sql.push(column);
    if let Some(value) = value {
        sql.push(" = ").push_bind(storable(value).into_owned());
    }
    match (lead, status) {
        // No partial index has delivered callbacks.
        (_, None | Some(CallbackStatus::Delivered)) => {}
        (Lead::App, Some(CallbackStatus::Dead | CallbackStatus::Expired)) => {
            sql.push(" AND status IN (3, 4)");
        }
        (Lead::Callee | Lead::Target | Lead::Status, Some(status)) => {
            sql.push(format_args!(
                " AND status = {} AND status <> 2",
                code(status)
            ));
        }
        (Lead::App | Lead::Reason | Lead::MessageType, Some(_)) => {}
    }
}

/// Pushes between which ids a page of a list is looked for. What died before a time was accepted before it.
pub(super) fn push_range(sql: &mut QueryBuilder<Postgres>, filter: &Filter, after: Option<Cursor>) {
    if let Some(since) = filter.since {
        sql.push(" AND request_id >= ").push_bind(first_id(since));
    }
    for until in [filter.until, filter.dead_until].into_iter().flatten() {
        sql.push(" AND request_id < ").push_bind(first_id(until));
    }
    if let Some(Cursor(id)) = after {
        sql.push(" AND request_id < ").push_bind(id);
    }
}

/// The stored statuses that match; empty if any status does.
pub(super) fn statuses(filter: &Filter) -> Vec<CallbackStatus> {
    let of_death = filter.dead_since.is_some() || filter.dead_until.is_some();
    match filter.status {
        None if !filter.statuses.is_empty() => {
            let mut stored: Vec<CallbackStatus> =
                filter.statuses.iter().copied().flat_map(stored).collect();
            stored.sort_unstable_by_key(|status| code(*status));
            stored.dedup();
            stored
        }
        None if filter.delayed == Some(true) => vec![CallbackStatus::Queued],
        None if of_death => vec![CallbackStatus::Dead, CallbackStatus::Expired],
        Some(CallbackStatus::Delivering) => vec![CallbackStatus::Queued, CallbackStatus::Retrying],
        // Only dead letters have a reason. Given both conditions, the planner underestimates the
        // rows.
        Some(CallbackStatus::Dead) if filter.reason.is_some() => Vec::new(),
        status => status.into_iter().collect(),
    }
}

/// The statuses that are stored for this one.
fn stored(status: CallbackStatus) -> Vec<CallbackStatus> {
    match status {
        CallbackStatus::Delivering => vec![CallbackStatus::Queued, CallbackStatus::Retrying],
        status => vec![status],
    }
}

/// The statuses as literals, so that the planner can use a partial index.
fn literals(statuses: impl IntoIterator<Item = CallbackStatus>) -> String {
    let codes: Vec<String> = statuses
        .into_iter()
        .map(|status| code(status).to_string())
        .collect();
    codes.join(", ")
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
        ("deferred_reason", &filter.deferred_reason),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            sql.push(" AND ").push(column).push(" = ");
            sql.push_bind(storable(text).into_owned());
        }
    }
    if let Some(delayed) = filter.delayed {
        sql.push(if delayed { " AND (" } else { " AND NOT (" });
        push_delayed(sql, now);
        sql.push(")");
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
    // A callback's death is the last that is recorded of it.
    if let Some(since) = filter.dead_since {
        sql.push(" AND status IN (3, 4) AND updated_at >= ")
            .push_bind(bigint(since));
    }
    if let Some(until) = filter.dead_until {
        sql.push(" AND status IN (3, 4) AND updated_at < ")
            .push_bind(bigint(until));
    }
    if let Some(status) = filter.http_status {
        sql.push(LAST_HTTP_STATUS).push_bind(i32::from(status));
    }
    if let Some(outcome) = &filter.outcome {
        sql.push(LAST_OUTCOME)
            .push_bind(storable(outcome).into_owned());
    }
    if filter.status.is_some() && !filter.statuses.is_empty() {
        let statuses = literals(filter.statuses.iter().copied().flat_map(stored));
        sql.push(format_args!(" AND status IN ({statuses})"));
    }
    if filter.status == Some(CallbackStatus::Delivering) {
        // Without a time it is due since it was accepted or replayed.
        sql.push(" AND (next_attempt_at IS NULL OR next_attempt_at <= ")
            .push_bind(bigint(now))
            .push(")");
    }
    if !filter.discarded {
        sql.push(" AND NOT discarded");
    }
}

/// Pushes that it waits for the time that its caller asked for. What left its queue too early was put back for
/// that time.
pub(super) fn push_delayed(sql: &mut QueryBuilder<Postgres>, now: u64) {
    sql.push(
        "status = 0 AND (deferred_reason IS NULL OR deferred_reason = 'not_due') \
         AND coalesce(next_attempt_at, 0) > ",
    )
    .push_bind(bigint(now));
}

/// Pushes the status too: as literals, so that the planner can use a partial index.
pub(super) fn push_all(sql: &mut QueryBuilder<Postgres>, filter: &Filter, now: u64) {
    push_conditions(sql, filter, now);
    let statuses = literals(statuses(filter));
    if !statuses.is_empty() {
        sql.push(format_args!(" AND status IN ({statuses})"));
    }
}
