//! Idempotency keys: the first request to use a key, over all processes.

use async_trait::async_trait;
use contract::duration_ms;
use sqlx::{Error, Postgres, Row as _, Transaction};

use super::connection::PostgresJournal;
use super::row::storable;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{Claim, ClaimAction, Claimed, StoredClaim};
use crate::store::IdempotencyStore;

#[async_trait]
impl IdempotencyStore for PostgresJournal {
    async fn claim(&self, claim: &Claim) -> JournalResult<Claimed> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let claimed = loop {
                if insert(&mut transaction, claim).await? {
                    break Claimed::Acquired(claim.request_id);
                }
                // Retention may delete it between the two statements: then insert after all.
                if let Some((stored, now)) = lock(&mut transaction, claim).await? {
                    break take_over(&mut transaction, claim, &stored, now).await?;
                }
            };
            transaction.commit().await?;
            Ok(claimed)
        })
        .await
    }

    async fn confirm_claim(&self, app_id: &str, key: &str) -> JournalResult<()> {
        let sql = "UPDATE idempotency_keys SET confirmed = true WHERE app_id = $1 AND key = $2";
        let update = sqlx::query(sql).bind(storable(app_id)).bind(storable(key));
        self.run(update.execute(&self.pool)).await?;
        Ok(())
    }

    async fn release_claim(&self, app_id: &str, key: &str) -> JournalResult<()> {
        let update = sqlx::query(
            "UPDATE idempotency_keys SET lease_until = 0 \
             WHERE app_id = $1 AND key = $2 AND NOT confirmed",
        );
        let update = update.bind(storable(app_id)).bind(storable(key));
        self.run(update.execute(&self.pool)).await?;
        Ok(())
    }
}

/// Whether the key was new. The times are those of [`Claim::claimed_at`] and [`Claim::lease_until`]. Waits for another transaction that inserts the same key.
async fn insert(transaction: &mut Transaction<'_, Postgres>, claim: &Claim) -> Result<bool, Error> {
    let inserted = sqlx::query(
        "INSERT INTO idempotency_keys \
         (app_id, key, request_id, body_hash, claimed_at, lease_until) \
         SELECT $1, $2, $3, $4, greatest($5, now_ms), now_ms + $6 \
         FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms) clock \
         ON CONFLICT DO NOTHING",
    )
    .bind(storable(&claim.app_id))
    .bind(storable(&claim.key))
    .bind(claim.request_id)
    .bind(&claim.body_hash[..])
    .bind(bigint(claim.now))
    .bind(bigint(duration_ms(claim.lease)))
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The claim, and the database's time when it was locked: one clock for all processes.
async fn lock(
    transaction: &mut Transaction<'_, Postgres>,
    claim: &Claim,
) -> Result<Option<(StoredClaim, u64)>, Error> {
    let row = sqlx::query(
        "SELECT request_id, body_hash, claimed_at, lease_until, confirmed, \
         (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms FROM idempotency_keys \
         WHERE app_id = $1 AND key = $2 FOR UPDATE",
    )
    .bind(storable(&claim.app_id))
    .bind(storable(&claim.key))
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let stored = StoredClaim {
        request_id: row.try_get("request_id")?,
        body_hash: row.try_get("body_hash")?,
        claimed_at: row.try_get("claimed_at")?,
        lease_until: row.try_get("lease_until")?,
        confirmed: row.try_get("confirmed")?,
    };
    let now: i64 = row.try_get("now_ms")?;
    Ok(Some((stored, u64::try_from(now).unwrap_or_default())))
}

async fn take_over(
    transaction: &mut Transaction<'_, Postgres>,
    claim: &Claim,
    stored: &StoredClaim,
    now: u64,
) -> Result<Claimed, Error> {
    let (id, update) = match stored.action(claim, now) {
        ClaimAction::Keep(claimed) => return Ok(claimed),
        ClaimAction::Replace => {
            let update = sqlx::query(
                "UPDATE idempotency_keys SET lease_until = $3, request_id = $4, body_hash = $5, \
                 claimed_at = $6, confirmed = false WHERE app_id = $1 AND key = $2",
            );
            let update = update
                .bind(storable(&claim.app_id))
                .bind(storable(&claim.key))
                .bind(claim.lease_until(now))
                .bind(claim.request_id)
                .bind(&claim.body_hash[..])
                .bind(claim.claimed_at(now));
            (claim.request_id, update)
        }
        ClaimAction::Renew(id) => {
            let update = sqlx::query(
                "UPDATE idempotency_keys SET lease_until = $3 WHERE app_id = $1 AND key = $2",
            );
            let update = update
                .bind(storable(&claim.app_id))
                .bind(storable(&claim.key))
                .bind(claim.lease_until(now));
            (id, update)
        }
    };
    update.execute(&mut **transaction).await?;
    Ok(Claimed::Acquired(id))
}
