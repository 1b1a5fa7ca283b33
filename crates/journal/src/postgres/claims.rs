//! Who is the first with an idempotency key, over all processes?

use sqlx::{Error, PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::write::clean;
use crate::claim::{Claim, Claimed};
use crate::precedence::number;

/// For so long a key is kept.
pub(super) const KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// A claim as it stands.
struct Held {
    request_id: Uuid,
    same_body: bool,
    past: bool,
    confirmed: bool,
    leased: bool,
}

pub(super) async fn claim(pool: &PgPool, claim: &Claim) -> Result<Claimed, Error> {
    let mut transaction = pool.begin().await?;
    let claimed = loop {
        if insert(&mut transaction, claim).await? {
            break Claimed::Yours(claim.request_id);
        }
        // Between the two it may go, its 24 hours being over: then it is inserted after all.
        if let Some(held) = held(&mut transaction, claim).await? {
            break take(&mut transaction, claim, &held).await?;
        }
    };
    transaction.commit().await?;
    Ok(claimed)
}

/// Whether there was none. Waits for whoever is inserting the same one right now.
async fn insert(transaction: &mut Transaction<'_, Postgres>, claim: &Claim) -> Result<bool, Error> {
    let inserted = sqlx::query(
        "INSERT INTO claims (app_id, key, request_id, body_hash, claimed_at, lease_until) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(clean(&claim.app_id))
    .bind(clean(&claim.key))
    .bind(claim.request_id)
    .bind(&claim.body_hash[..])
    .bind(number(claim.now))
    .bind(number(claim.lease_until))
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn held(
    transaction: &mut Transaction<'_, Postgres>,
    claim: &Claim,
) -> Result<Option<Held>, Error> {
    let row = sqlx::query(
        "SELECT request_id, body_hash, claimed_at, lease_until, confirmed FROM claims \
         WHERE app_id = $1 AND key = $2 FOR UPDATE",
    )
    .bind(clean(&claim.app_id))
    .bind(clean(&claim.key))
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let hash: Vec<u8> = row.try_get("body_hash")?;
    let claimed_at: i64 = row.try_get("claimed_at")?;
    let lease_until: i64 = row.try_get("lease_until")?;
    Ok(Some(Held {
        request_id: row.try_get("request_id")?,
        same_body: hash == claim.body_hash,
        past: claimed_at <= number(claim.now.saturating_sub(KEPT_MS)),
        confirmed: row.try_get("confirmed")?,
        leased: lease_until > number(claim.now),
    }))
}

async fn take(
    transaction: &mut Transaction<'_, Postgres>,
    claim: &Claim,
    held: &Held,
) -> Result<Claimed, Error> {
    let id = held.request_id;
    let (sql, id) = match held {
        Held { past: true, .. } => (
            "UPDATE claims SET request_id = $3, body_hash = $4, claimed_at = $5, \
             lease_until = $6, confirmed = false WHERE app_id = $1 AND key = $2",
            claim.request_id,
        ),
        Held {
            same_body: false, ..
        } => return Ok(Claimed::Conflict),
        Held {
            confirmed: true, ..
        } => return Ok(Claimed::Confirmed(id)),
        Held { leased: true, .. } => return Ok(Claimed::Pending(id)),
        // Its age stays. The other values are named only to be of use to neither.
        Held { .. } => (
            "UPDATE claims SET request_id = $3, body_hash = $4, \
             claimed_at = least(claimed_at, $5), lease_until = $6 WHERE app_id = $1 AND key = $2",
            id,
        ),
    };
    sqlx::query(sql)
        .bind(clean(&claim.app_id))
        .bind(clean(&claim.key))
        .bind(id)
        .bind(&claim.body_hash[..])
        .bind(number(claim.now))
        .bind(number(claim.lease_until))
        .execute(&mut **transaction)
        .await?;
    Ok(Claimed::Yours(id))
}

pub(super) async fn confirm(pool: &PgPool, app_id: &str, key: &str) -> Result<(), Error> {
    sqlx::query("UPDATE claims SET confirmed = true WHERE app_id = $1 AND key = $2")
        .bind(clean(app_id))
        .bind(clean(key))
        .execute(pool)
        .await?;
    Ok(())
}

pub(super) async fn release(pool: &PgPool, app_id: &str, key: &str) -> Result<(), Error> {
    sqlx::query(
        "UPDATE claims SET lease_until = 0 WHERE app_id = $1 AND key = $2 AND NOT confirmed",
    )
    .bind(clean(app_id))
    .bind(clean(key))
    .execute(pool)
    .await?;
    Ok(())
}
