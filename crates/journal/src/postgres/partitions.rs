//! Partitions: one a day, by the time within the UUID v7.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Error, PgPool, Postgres, Transaction};
use time::{Date, Month, OffsetDateTime};
use uuid::Uuid;

use crate::column::{END_OF_TIME, first_id};

/// The advisory lock for creating and dropping partitions.
const LOCK: i64 = i64::from_be_bytes(*b"RingDays");
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A day, UTC, by the time within a UUID v7. The last one, in the year 9999, has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(Date);

impl Day {
    pub(super) fn of(request_id: Uuid) -> Self {
        let unix_ms = request_id.as_u128() >> 80; // 48 bits.
        Self::at(u64::try_from(unix_ms).unwrap_or(END_OF_TIME))
    }

    pub(super) fn at(unix_ms: u64) -> Self {
        let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
        let time = OffsetDateTime::from_unix_timestamp(seconds);
        Self(time.map_or(Date::MAX, OffsetDateTime::date))
    }

    /// The day of a partition of callbacks; `None` for any other name.
    fn of_partition(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("callbacks_")?;
        let (year, rest) = digits.split_at_checked(4)?;
        let (month, day) = rest.split_at_checked(2)?;
        let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
        let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
        let day = Self(date);
        (date.year() >= 1970 && day.partition_of("callbacks") == name).then_some(day)
    }

    pub(super) fn next(self) -> Self {
        Self(self.0.next_day().unwrap_or(Date::MAX))
    }

    /// Its first millisecond, Unix ms.
    fn start(self) -> u64 {
        let seconds = self.0.midnight().assume_utc().unix_timestamp();
        u64::try_from(seconds).unwrap_or_default() * 1000
    }

    /// The first millisecond after it, Unix ms.
    fn end(self) -> u64 {
        if self.0 == Date::MAX {
            return u64::MAX;
        }
        self.start() + DAY_MS
    }

    /// The partition of a table, `TABLE_YYYYMMDD`.
    pub(super) fn partition_of(self, table: &str) -> String {
        let (year, month, day) = self.0.to_calendar_date();
        format!("{table}_{year:04}{:02}{day:02}", u8::from(month))
    }
}

/// Creates the partitions that are missing. Several processes may do so at once.
pub(super) async fn create(pool: &PgPool, days: &BTreeSet<Day>) -> Result<(), Error> {
    let names: Vec<String> = days
        .iter()
        .map(|day| day.partition_of("callbacks"))
        .collect();
    let missing = "SELECT count(*) FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL";
    let missing: i64 = sqlx::query_scalar(missing)
        .bind(&names)
        .fetch_one(pool)
        .await?;
    if missing == 0 {
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    lock(&mut transaction).await?;
    for day in days {
        // Check again, now that no other process can create it. Not by to_regclass: it may answer
        // from a cache of the time before the lock.
        let name = day.partition_of("callbacks");
        let exists: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_class \
             WHERE relname = $1 AND relnamespace = current_schema()::regnamespace)",
        )
        .bind(name)
        .fetch_one(&mut *transaction)
        .await?;
        if !exists {
            create_day(&mut transaction, *day).await?;
        }
    }
    transaction.commit().await
}

/// Creates the two partitions of a day, which must be missing.
pub(super) async fn create_day(
    transaction: &mut Transaction<'_, Postgres>,
    day: Day,
) -> Result<(), Error> {
    // Callbacks are updated: leave space for that in their pages.
    create_one(transaction, day, "callbacks", 85).await?;
    create_one(transaction, day, "attempts", 100).await
}

/// Creates a separate table and attaches it: attaching blocks no reader and no writer, while
/// `CREATE TABLE .. PARTITION OF` does.
async fn create_one(
    transaction: &mut Transaction<'_, Postgres>,
    day: Day,
    table: &str,
    fill: u8,
) -> Result<(), Error> {
    let name = day.partition_of(table);
    let (first, end) = (first_id(day.start()), first_id(day.end()));
    let sql = format!(
        "CREATE TABLE {name} (LIKE {table} INCLUDING ALL) WITH (fillfactor = {fill}); \
         ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}');"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The days that have partitions and end before `bound` (Unix ms), oldest first.
pub(super) async fn expired(pool: &PgPool, bound: u64) -> Result<BTreeSet<Day>, Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid \
         WHERE inhparent = 'callbacks'::regclass",
    )
    .fetch_all(pool)
    .await?;
    let days = names.iter().filter_map(|name| Day::of_partition(name));
    Ok(days.filter(|day| day.end() <= bound).collect())
}

pub(super) async fn lock(transaction: &mut Transaction<'_, Postgres>) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 9999-12-31.
    const LAST_DAY: u64 = 2_932_896;

    #[test]
    fn a_partition_is_named_after_its_date() {
        let name = |unix_ms| Day::at(unix_ms).partition_of("callbacks");
        assert_eq!(name(0), "callbacks_19700101");
        assert_eq!(name(951_782_400_000), "callbacks_20000229");
        assert_eq!(name(951_868_800_000), "callbacks_20000301");
        assert_eq!(name(1_798_761_599_999), "callbacks_20261231");
        assert_eq!(name(1_798_761_600_000), "callbacks_20270101");
        for late in [LAST_DAY * DAY_MS, END_OF_TIME, u64::MAX] {
            assert_eq!(name(late), "callbacks_99991231");
        }
    }

    #[test]
    fn every_day_is_found_by_the_name_of_its_partition() {
        for number in (0..200_000).chain([LAST_DAY]) {
            let day = Day::at(number * DAY_MS);
            assert_eq!(day.start(), number * DAY_MS);
            let name = day.partition_of("callbacks");
            assert_eq!(Day::of_partition(&name), Some(day), "{name}");
            assert_eq!(
                day.next(),
                Day::at((number + 1).min(LAST_DAY) * DAY_MS),
                "{name}"
            );
        }
    }

    #[test]
    fn other_names_are_not_days() {
        for name in [
            "callbacks_",
            "callbacks_old",
            "callbacks_20260230",
            "callbacks_+2260203",
            "callbacks_202601011",
            "attempts_20260101",
            "callbacks_19691231",
        ] {
            assert_eq!(Day::of_partition(name), None, "{name}");
        }
    }

    #[test]
    fn ids_lie_within_the_bounds_of_their_day() {
        let id = |unix_ms: u64| {
            uuid::Builder::from_unix_timestamp_millis(unix_ms, &[0xff; 10]).into_uuid()
        };
        for unix_ms in [0, 1_798_761_599_999, LAST_DAY * DAY_MS, END_OF_TIME - 1] {
            let (id, day) = (id(unix_ms), Day::at(unix_ms));
            assert_eq!(Day::of(id), day);
            assert!(first_id(day.start()) <= id && id < first_id(day.end()));
        }
        assert_eq!(first_id(u64::MAX), Uuid::max());
    }
}
