//! Which partition holds a callback, and how does it come to be there?

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Error, PgPool, Postgres, Transaction};
use uuid::Uuid;

/// Names the lock that whoever makes or drops a partition holds.
const LOCK: i64 = i64::from_be_bytes(*b"RingDays");
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// A moment in a UUID v7 has 48 bits.
const END_OF_TIME: u64 = 1 << 48;

/// A day since 1970, UTC, by the moment within a UUID v7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(u32);

impl Day {
    pub(super) fn of(request_id: Uuid) -> Self {
        let moment = request_id.as_u128() >> 80; // 48 bits: below 2^22 days.
        Self::at(u64::try_from(moment).unwrap_or(END_OF_TIME))
    }

    /// `moment` in Unix ms.
    pub(super) fn at(moment: u64) -> Self {
        Self(u32::try_from(moment.min(END_OF_TIME) / DAY_MS).unwrap_or(u32::MAX))
    }

    /// The day of a partition of callbacks.
    fn of_partition(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("callbacks_")?;
        let (year, rest) = digits.split_at_checked(digits.len().checked_sub(4)?)?;
        let (month, day) = rest.split_at_checked(2)?;
        from_civil(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Its last moment and one, Unix ms.
    pub(super) fn end(self) -> u64 {
        u64::from(self.0 + 1) * DAY_MS
    }

    /// The partition of a table, `TABLE_YYYYMMDD`.
    pub(super) fn partition_of(self, table: &str) -> String {
        let (year, month, day) = self.civil();
        format!("{table}_{year:04}{month:02}{day:02}")
    }

    /// Year, month and day of the month: Howard Hinnant's `civil_from_days`, for days since 1970.
    fn civil(self) -> (u32, u32, u32) {
        let days = self.0 + 719_468; // Since 0000-03-01: years then end with the leap day.
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (year_of_era + era * 400 + u32::from(month <= 2), month, day)
    }
}

/// The other way round; `None` for what is no date.
fn from_civil(year: u32, month: u32, day: u32) -> Option<Day> {
    let shifted = year.checked_sub(u32::from(month <= 2))?;
    let month_from_march = (month + 9) % 12;
    let of_year = ((153 * month_from_march + 2) / 5 + day).checked_sub(1)?;
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let found = Day((era.checked_mul(146_097)? + of_era).checked_sub(719_468)?);
    (found.civil() == (year, month, day)).then_some(found)
}

/// The smallest id of a moment (Unix ms): ids of that moment and later are greater.
pub(super) fn first_id(moment: u64) -> Uuid {
    if moment >= END_OF_TIME {
        return Uuid::max();
    }
    Uuid::from_u128(u128::from(moment) << 80)
}

/// Makes the partitions that are missing. Several processes may do so at once.
pub(super) async fn make(pool: &PgPool, days: &BTreeSet<Day>) -> Result<(), Error> {
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
        // Once more, now that nobody else makes any.
        let name = day.partition_of("callbacks");
        let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(name)
            .fetch_one(&mut *transaction)
            .await?;
        if !there {
            // Callbacks are updated: their pages keep room for it.
            make_one(&mut transaction, *day, "callbacks", 85).await?;
            make_one(&mut transaction, *day, "attempts", 100).await?;
        }
    }
    transaction.commit().await
}

/// A table of its own at first: attaching one locks out no reader and no writer, while
/// `CREATE TABLE .. PARTITION OF` does.
async fn make_one(
    transaction: &mut Transaction<'_, Postgres>,
    day: Day,
    table: &str,
    fill: u8,
) -> Result<(), Error> {
    let name = day.partition_of(table);
    let (first, end) = (
        first_id(day.end().saturating_sub(DAY_MS)),
        first_id(day.end()),
    );
    let sql = format!(
        "CREATE TABLE {name} (LIKE {table} INCLUDING ALL) WITH (fillfactor = {fill}); \
         ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}');"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The days that have partitions and are past their retention, oldest first.
pub(super) async fn past(pool: &PgPool, retention: Duration, now: u64) -> Result<Vec<Day>, Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid \
         WHERE inhparent = 'callbacks'::regclass",
    )
    .fetch_all(pool)
    .await?;
    let kept_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let bound = now.saturating_sub(kept_ms);
    let days = names.iter().filter_map(|name| Day::of_partition(name));
    let past: BTreeSet<Day> = days.filter(|day| day.end() <= bound).collect();
    Ok(past.into_iter().collect())
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

    #[test]
    fn a_partition_bears_the_date_of_its_day() {
        let named = |moment| Day::at(moment).partition_of("callbacks");
        assert_eq!(named(0), "callbacks_19700101");
        assert_eq!(named(951_782_400_000), "callbacks_20000229");
        assert_eq!(named(951_868_800_000), "callbacks_20000301");
        assert_eq!(named(1_798_761_599_999), "callbacks_20261231");
        assert_eq!(named(1_798_761_600_000), "callbacks_20270101");
    }

    #[test]
    fn every_day_is_found_again_by_its_name() {
        for day in (0..200_000).chain([3_257_812]).map(Day) {
            let name = day.partition_of("callbacks");
            assert_eq!(Day::of_partition(&name), Some(day), "{name}");
        }
    }

    #[test]
    fn other_names_are_no_days() {
        for name in [
            "callbacks_",
            "callbacks_old",
            "callbacks_20260230",
            "attempts_20260101",
            "callbacks_19691231",
        ] {
            assert_eq!(Day::of_partition(name), None, "{name}");
        }
    }

    #[test]
    fn ids_lie_within_the_bounds_of_their_day() {
        let id = Uuid::new_v7(uuid::Timestamp::from_unix_time(
            1_798_761_599,
            999_000_000,
            0,
            0,
        ));
        let day = Day::of(id);
        assert_eq!(day, Day::at(1_798_761_599_999));
        assert!(first_id(day.end() - DAY_MS) <= id && id < first_id(day.end()));
        assert_eq!(first_id(u64::MAX), Uuid::max());
    }
}
