//! A filter as SQL conditions that use an index.

use contract::CallbackStatus;
use rusqlite::types::Value;
use uuid::Uuid;

use crate::column::{bigint, first_id};
use crate::model::Filter;

/// A dead letter that is not discarded: exactly the condition of the index `callbacks_dead`.
pub(super) const DEAD: &str = "status IN ('dead', 'expired') AND discarded = 0";
/// Exactly the condition of the index `callbacks_unfinished`.
const UNFINISHED: &str = "status IN ('queued', 'retrying')";

/// Exactly the condition of the index `callbacks_unaccounted`.
const UNACCOUNTED: &str = "status = 'unaccounted'";

/// Waits for the time that its caller asked for. What left its queue too early was put back for that time.
pub(super) const DELAYED: &str = "status = 'queued'
     AND (deferred_reason IS NULL OR deferred_reason = 'not_due') AND coalesce(next_attempt_at, 0) > ?";

/// The answer to the last attempt.
const LAST_HTTP_STATUS: &str = "(SELECT http_status FROM attempts
    WHERE attempts.request_id = callbacks.request_id
    ORDER BY attempts.generation DESC, number DESC, started_at DESC LIMIT 1) = ?";

/// The outcome of the last attempt.
const LAST_OUTCOME: &str = "(SELECT outcome FROM attempts
    WHERE attempts.request_id = callbacks.request_id
    ORDER BY attempts.generation DESC, number DESC, started_at DESC LIMIT 1) = ?";

/// SQL after `FROM`, with its values.
#[derive(Clone)]
pub(super) struct FilterSql {
    sql: String,
    /// The index that has few rows besides those wanted, in the order of `request_id`. Without
    /// statistics, SQLite may choose another.
    index: Option<&'static str>,
    pub(super) values: Vec<Value>,
}

impl FilterSql {
    /// The filter without its status.
    fn of(filter: &Filter) -> Self {
        let mut condition = Self {
            sql: "1".to_owned(),
            index: None,
            values: Vec::new(),
        };
        for (column, wanted) in [
            ("app_id = ?", &filter.app_id),
            ("callee_no = ?", &filter.callee_no),
            ("target = ?", &filter.target),
            ("message_type = ?", &filter.message_type),
            ("reason = ?", &filter.reason),
            ("deferred_reason = ?", &filter.deferred_reason),
        ] {
            if let Some(wanted) = wanted {
                condition.and(column, Value::Text(wanted.clone()));
            }
        }
        if let Some(since) = filter.since {
            condition.and("request_id >= ?", blob(first_id(since)));
        }
        if let Some(until) = filter.until {
            condition.and("request_id < ?", blob(first_id(until)));
        }
        if let Some(before) = filter.updated_before {
            condition.and("updated_at < ?", Value::Integer(bigint(before)));
        }
        // A callback's death is the last that is recorded of it.
        for (column, wanted) in [
            ("updated_at >= ?", filter.dead_since),
            ("updated_at < ?", filter.dead_until),
        ] {
            if let Some(at) = wanted {
                condition.and_plain("status IN ('dead', 'expired')");
                condition.and(column, Value::Integer(bigint(at)));
            }
        }
        if let Some(status) = filter.http_status {
            condition.and(LAST_HTTP_STATUS, Value::Integer(i64::from(status)));
        }
        if let Some(outcome) = &filter.outcome {
            condition.and(LAST_OUTCOME, Value::Text(outcome.clone()));
        }
        if !filter.statuses.is_empty() {
            condition.and_plain(&one_of(&filter.statuses));
        }
        condition
    }

    /// Adds a condition with one value.
    pub(super) fn and(&mut self, sql: &str, value: Value) {
        self.and_plain(sql);
        self.values.push(value);
    }

    /// Adds a condition without values.
    fn and_plain(&mut self, sql: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
    }

    fn and_status(&mut self, status: CallbackStatus) {
        self.and("status = ?", Value::Text(status.as_str().to_owned()));
    }

    /// The condition on what waits for its caller's time.
    fn and_delayed(&mut self, filter: &Filter, now: u64) {
        let condition = match filter.delayed {
            None => return,
            Some(true) => DELAYED.to_owned(),
            Some(false) => format!("NOT ({DELAYED})"),
        };
        self.and(&condition, Value::Integer(bigint(now)));
    }

    fn and_not_discarded(&mut self, filter: &Filter) {
        if !filter.discarded {
            self.and_plain("discarded = 0");
        }
    }

    /// `callbacks WHERE` and the conditions.
    pub(super) fn sql(&self) -> String {
        match self.index {
            Some(index) => format!("callbacks INDEXED BY {index} WHERE {}", self.sql),
            None => format!("callbacks WHERE {}", self.sql),
        }
    }

    /// The whole filter.
    pub(super) fn whole(filter: &Filter, now: u64) -> Self {
        let mut condition = Self::of(filter);
        condition.and_not_discarded(filter);
        condition.and_delayed(filter, now);
        let by_status = by_status(filter);
        match filter.status {
            None if filter.delayed == Some(true) => {
                condition.and_plain(UNFINISHED);
                condition.index = Some("callbacks_unfinished").filter(|_| !by_status);
            }
            None if waits_alone(&filter.statuses) => {
                condition.and_plain(UNFINISHED);
                condition.index = Some("callbacks_unfinished").filter(|_| !by_status);
            }
            None if is_dead_alone(&filter.statuses) && !filter.discarded => {
                condition.and_plain(DEAD);
                // By the time of their death there is an index of its own.
                let by_time = filter.dead_since.is_some()
                    || filter.dead_until.is_some()
                    || filter.updated_before.is_some();
                condition.index = Some("callbacks_dead").filter(|_| !by_status && !by_time);
            }
            None => {}
            Some(CallbackStatus::Delivering) => {
                condition.and_plain(UNFINISHED);
                condition.index = Some("callbacks_unfinished").filter(|_| !by_status);
                condition.and(DUE, Value::Integer(bigint(now)));
            }
            Some(wanted @ (CallbackStatus::Queued | CallbackStatus::Retrying)) => {
                condition.and_plain(UNFINISHED);
                condition.index = Some("callbacks_unfinished").filter(|_| !by_status);
                condition.and_status(wanted);
            }
            Some(wanted @ (CallbackStatus::Dead | CallbackStatus::Expired))
                if !filter.discarded =>
            {
                condition.and_plain(DEAD);
                condition.index = Some("callbacks_dead").filter(|_| !by_status);
                condition.and_status(wanted);
            }
            Some(CallbackStatus::Unaccounted) => {
                condition.and_plain(UNACCOUNTED);
                condition.index = Some("callbacks_unaccounted").filter(|_| !by_status);
                condition.and_status(CallbackStatus::Unaccounted);
            }
            Some(wanted) => condition.and_status(wanted),
        }
        condition
    }

    /// The ways to find the whole filter, each in parts that an index returns in the order of `request_id`: in the
    /// indexes by callee and by target, the status precedes it.
    pub(super) fn leads(filter: &Filter, now: u64) -> Vec<Vec<ListPart>> {
        let statuses = wanted(filter);
        let mut leads = Vec::new();
        for (index, condition, value) in [
            (
                "callbacks_callee_status",
                "callee_no = ?",
                &filter.callee_no,
            ),
            ("callbacks_target_status", "target = ?", &filter.target),
        ] {
            let Some(value) = value else { continue };
            let parts = statuses.iter().map(|status| {
                let mut lead = Self::all(Some(index));
                lead.and(condition, Value::Text(value.clone()));
                lead.and_status(*status);
                ListPart::of(lead, filter, now)
            });
            leads.push(parts.collect());
        }
        if !leads.is_empty() {
            return leads;
        }
        let all = |kinds: &[CallbackStatus]| statuses.iter().all(|status| kinds.contains(status));
        let partial = if all(&[CallbackStatus::Queued, CallbackStatus::Retrying]) {
            Some(("callbacks_unfinished", UNFINISHED))
        } else if all(&[CallbackStatus::Dead, CallbackStatus::Expired]) && !filter.discarded {
            Some(("callbacks_dead", DEAD))
        } else if all(&[CallbackStatus::Unaccounted]) {
            Some(("callbacks_unaccounted", UNACCOUNTED))
        } else {
            None
        };
        if let Some((index, condition)) = partial {
            let mut lead = Self::all(Some(index));
            lead.and_plain(condition);
            leads.push(vec![ListPart::of(lead, filter, now)]);
        }
        if let Some(app_id) = &filter.app_id {
            let mut lead = Self::all(Some("callbacks_app"));
            lead.and("app_id = ?", Value::Text(app_id.clone()));
            leads.push(vec![ListPart::of(lead, filter, now)]);
        }
        if leads.is_empty() {
            leads.push(vec![ListPart::of(Self::all(None), filter, now)]);
        }
        leads
    }

    /// All callbacks, by this index.
    fn all(index: Option<&'static str>) -> Self {
        Self {
            sql: "1".to_owned(),
            index,
            values: Vec::new(),
        }
    }

    fn split(&self, statuses: &[CallbackStatus]) -> Vec<Self> {
        let stored = statuses
            .iter()
            .filter(|status| **status != CallbackStatus::Delivering);
        let part = |status: &CallbackStatus| {
            let mut part = self.clone();
            part.and_status(*status);
            part
        };
        stored.map(part).collect()
    }

    /// The callbacks of the filter that wait, in parts as in [`Self::leads`].
    pub(super) fn waiting(filter: &Filter, now: u64) -> Vec<Self> {
        let mut condition = Self::of(filter);
        condition.and_plain(UNFINISHED);
        condition.and_delayed(filter, now);
        match filter.status {
            None => {}
            Some(CallbackStatus::Delivering) => {
                condition.and(DUE, Value::Integer(bigint(now)));
            }
            Some(status) => condition.and_status(status),
        }
        if by_status(filter) {
            return condition.split(&[CallbackStatus::Queued, CallbackStatus::Retrying]);
        }
        condition.index = Some("callbacks_unfinished");
        vec![condition]
    }

    /// The delivered callbacks of the filter.
    pub(super) fn delivered(filter: &Filter) -> Vec<Self> {
        let mut condition = Self::of(filter);
        condition.and_not_discarded(filter);
        condition.and_status(CallbackStatus::Delivered);
        vec![condition]
    }

    /// The unaccounted callbacks of the filter.
    pub(super) fn unaccounted(filter: &Filter) -> Self {
        let mut condition = Self::of(filter);
        condition.and_plain(UNACCOUNTED);
        if let Some(status) = filter.status {
            condition.and_status(status);
        }
        condition.index = Some("callbacks_unaccounted").filter(|_| !by_status(filter));
        condition
    }

    /// The dead letters of the filter that are not discarded, in parts as in [`Self::leads`].
    pub(super) fn dead(filter: &Filter) -> Vec<Self> {
        let mut condition = Self::of(filter);
        condition.and_plain(DEAD);
        if let Some(status) = filter.status {
            condition.and_status(status);
        }
        if by_status(filter) {
            return condition.split(&[CallbackStatus::Dead, CallbackStatus::Expired]);
        }
        condition.index = Some("callbacks_dead");
        vec![condition]
    }
}

/// A part of a page of a list.
pub(super) struct ListPart {
    /// The condition of its index, and no other: so its entries can be counted without their rows.
    pub(super) lead: FilterSql,
    /// All conditions.
    pub(super) whole: FilterSql,
}

impl ListPart {
    fn of(lead: FilterSql, filter: &Filter, now: u64) -> Self {
        let whole = FilterSql::whole(filter, now);
        let mut part = Self {
            whole: FilterSql {
                sql: format!("{} AND {}", lead.sql, whole.sql),
                index: lead.index,
                values: [lead.values.clone(), whole.values].concat(),
            },
            lead,
        };
        if let Some(since) = filter.since {
            part.lead.and("request_id >= ?", blob(first_id(since)));
        }
        // What died before a time was accepted before it.
        for until in [filter.until, filter.dead_until].into_iter().flatten() {
            part.and("request_id < ?", first_id(until));
        }
        part
    }

    /// Adds a condition on the id.
    pub(super) fn and(&mut self, sql: &str, id: Uuid) {
        self.lead.and(sql, blob(id));
        self.whole.and(sql, blob(id));
    }
}

/// The stored statuses that can match.
fn wanted(filter: &Filter) -> Vec<CallbackStatus> {
    let waiting = [CallbackStatus::Queued, CallbackStatus::Retrying];
    let stored = |status: CallbackStatus| match status {
        CallbackStatus::Delivering => waiting.to_vec(),
        status => vec![status],
    };
    let mut wanted: Vec<CallbackStatus> = match filter.status {
        Some(status) => stored(status),
        None if !filter.statuses.is_empty() => {
            filter.statuses.iter().copied().flat_map(stored).collect()
        }
        None if filter.delayed == Some(true) => vec![CallbackStatus::Queued],
        None if filter.dead_since.is_some() || filter.dead_until.is_some() => {
            vec![CallbackStatus::Dead, CallbackStatus::Expired]
        }
        None => {
            let all = CallbackStatus::ALL.into_iter();
            all.filter(|status| *status != CallbackStatus::Delivering)
                .collect()
        }
    };
    wanted.sort_unstable_by_key(|status| status.as_str());
    wanted.dedup();
    wanted
}

/// Without a time it is due since it was accepted or replayed.
const DUE: &str = "(next_attempt_at IS NULL OR next_attempt_at <= ?)";

/// Whether the filter uses an index with the status before the id.
fn by_status(filter: &Filter) -> bool {
    filter.callee_no.is_some() || filter.target.is_some()
}

fn waits_alone(statuses: &[CallbackStatus]) -> bool {
    !statuses.is_empty() && statuses.iter().all(|status| status.is_unfinished())
}

fn is_dead_alone(statuses: &[CallbackStatus]) -> bool {
    let is_dead =
        |status: &CallbackStatus| matches!(status, CallbackStatus::Dead | CallbackStatus::Expired);
    !statuses.is_empty() && statuses.iter().all(is_dead)
}

/// Stored statuses. No name has a quote.
fn one_of(statuses: &[CallbackStatus]) -> String {
    let names = statuses.iter().flat_map(|status| match status {
        CallbackStatus::Delivering => vec![CallbackStatus::Queued, CallbackStatus::Retrying],
        status => vec![*status],
    });
    let names: Vec<String> = names.map(|name| format!("'{}'", name.as_str())).collect();
    format!("status IN ({})", names.join(", "))
}

/// An id as it is stored.
pub(super) fn blob(id: Uuid) -> Value {
    Value::Blob(id.as_bytes().to_vec())
}
