//! How does a filter become a condition that the indexes serve?

use rusqlite::types::Value;
use uuid::Uuid;

use crate::callback::Status;
use crate::precedence::number;
use crate::query::Filter;

/// A dead letter that can be seen, in the very words of the index `dead`.
pub(super) const DEAD: &str = "status IN ('dead', 'expired') AND discarded = 0";
const WAITING: &str = "status IN ('queued', 'retrying')";

/// SQL after `FROM`, and its values.
#[derive(Clone)]
pub(super) struct Condition {
    sql: String,
    /// The index that holds few rows beside those wanted, in the order of `request_id`. Left to
    /// itself, SQLite knows no numbers and may prefer another.
    index: Option<&'static str>,
    pub(super) values: Vec<Value>,
}

impl Condition {
    /// What the filter asks for, its status aside.
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
            condition.and("at < ?", Value::Integer(number(before)));
        }
        condition
    }

    /// Adds a condition with one value.
    pub(super) fn and(&mut self, sql: &str, value: Value) {
        self.plain(sql);
        self.values.push(value);
    }

    /// Adds a condition without values.
    fn plain(&mut self, sql: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
    }

    fn seen(&mut self, filter: &Filter) {
        if !filter.discarded {
            self.plain("discarded = 0");
        }
    }

    /// `callbacks WHERE` and what must hold.
    pub(super) fn sql(&self) -> String {
        match self.index {
            Some(index) => format!("callbacks INDEXED BY {index} WHERE {}", self.sql),
            None => format!("callbacks WHERE {}", self.sql),
        }
    }

    /// The whole filter.
    pub(super) fn whole(filter: &Filter, now: u64) -> Self {
        let mut condition = Self::of(filter);
        condition.seen(filter);
        // The indexes by callee and by target have the status before the id.
        let by_status = by_status(filter);
        let status = |it: Status| Value::Text(it.as_str().to_owned());
        match filter.status {
            None => {}
            Some(Status::Delivering) => {
                condition.plain(WAITING);
                condition.index = Some("waiting").filter(|_| !by_status);
                condition.and("next_attempt_at <= ?", Value::Integer(number(now)));
            }
            Some(wanted @ (Status::Queued | Status::Retrying)) => {
                condition.plain(WAITING);
                condition.index = Some("waiting").filter(|_| !by_status);
                condition.and("status = ?", status(wanted));
            }
            Some(wanted @ (Status::Dead | Status::Expired)) if !filter.discarded => {
                condition.plain(DEAD);
                condition.index = Some("dead").filter(|_| !by_status);
                condition.and("status = ?", status(wanted));
            }
            Some(wanted) => condition.and("status = ?", status(wanted)),
        }
        condition
    }

    /// The same, in parts each of which an index gives in the order of `request_id`: the indexes by
    /// callee and by target have the status before it.
    pub(super) fn parts(filter: &Filter, now: u64) -> Vec<Self> {
        let whole = Self::whole(filter, now);
        match filter.status {
            None if by_status(filter) => whole.split(&Status::ALL),
            Some(Status::Delivering) if by_status(filter) => {
                whole.split(&[Status::Queued, Status::Retrying])
            }
            _ => vec![whole],
        }
    }

    fn split(&self, statuses: &[Status]) -> Vec<Self> {
        let stored = statuses.iter().filter(|it| **it != Status::Delivering);
        let part = |status: &Status| {
            let mut part = self.clone();
            part.and("status = ?", Value::Text(status.as_str().to_owned()));
            part
        };
        stored.map(part).collect()
    }

    /// What of the filter is dead and not discarded, in parts like those of [`Self::parts`].
    pub(super) fn dead(filter: &Filter) -> Vec<Self> {
        let mut condition = Self::of(filter);
        condition.plain(DEAD);
        if let Some(status) = filter.status {
            condition.and("status = ?", Value::Text(status.as_str().to_owned()));
        }
        if by_status(filter) {
            return condition.split(&[Status::Dead, Status::Expired]);
        }
        condition.index = Some("dead");
        vec![condition]
    }
}

/// Whether an index with the status before the id serves the filter.
fn by_status(filter: &Filter) -> bool {
    filter.callee_no.is_some() || filter.target.is_some()
}

/// An id as it is stored.
pub(super) fn blob(id: Uuid) -> Value {
    Value::Blob(id.as_bytes().to_vec())
}

/// No id of version 7 made at `moment` (Unix ms) or later is less.
pub(super) fn first_id(moment: u64) -> Uuid {
    // A moment has 48 bits; beyond them lies no id.
    if moment >> 48 > 0 {
        return Uuid::max();
    }
    Uuid::from_u128(u128::from(moment) << 80)
}
