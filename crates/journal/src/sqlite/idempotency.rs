//! Idempotency keys: the first request to use a key.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::connection::SqliteJournal;
use super::row::id;
use crate::error::JournalResult;
use crate::model::{Claim, ClaimAction, Claimed, StoredClaim};
use crate::store::IdempotencyStore;

#[async_trait]
impl IdempotencyStore for SqliteJournal {
    async fn claim(&self, claim: &Claim) -> JournalResult<Claimed> {
        let claim = claim.clone();
        let clock = self.clock.clone();
        let work = move |conn: &Connection| {
            let now = clock.now_ms();
            let stored = conn
                .prepare_cached(
                    "SELECT request_id, body_hash, claimed_at, lease_until, confirmed
                     FROM idempotency_keys WHERE app_id = ?1 AND key = ?2",
                )?
                .query_row([&claim.app_id, &claim.key], |row| {
                    Ok(StoredClaim {
                        request_id: id(row, 0)?,
                        body_hash: row.get(1)?,
                        claimed_at: row.get(2)?,
                        lease_until: row.get(3)?,
                        confirmed: row.get(4)?,
                    })
                })
                .optional()?;
            match stored.map_or(ClaimAction::Replace, |stored| stored.action(&claim, now)) {
                ClaimAction::Keep(claimed) => Ok(claimed),
                ClaimAction::Replace => {
                    replace(conn, &claim, now)?;
                    Ok(Claimed::Acquired(claim.request_id))
                }
                ClaimAction::Renew(request_id) => {
                    renew(conn, &claim, now)?;
                    Ok(Claimed::Acquired(request_id))
                }
            }
        };
        self.writer.run(work).await
    }

    async fn confirm_claim(&self, app_id: &str, key: &str) -> JournalResult<()> {
        let sql = "UPDATE idempotency_keys SET confirmed = 1 WHERE app_id = ?1 AND key = ?2";
        self.update_claim(sql, app_id, key).await
    }

    async fn release_claim(&self, app_id: &str, key: &str) -> JournalResult<()> {
        let sql = "UPDATE idempotency_keys SET lease_until = 0
                   WHERE app_id = ?1 AND key = ?2 AND NOT confirmed";
        self.update_claim(sql, app_id, key).await
    }
}

impl SqliteJournal {
    async fn update_claim(&self, sql: &'static str, app_id: &str, key: &str) -> JournalResult<()> {
        let key = [app_id.to_owned(), key.to_owned()];
        let update = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(sql)?;
            statement.execute(key).map(drop)
        };
        self.writer.run(update).await
    }
}

fn replace(conn: &Connection, claim: &Claim, now: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO idempotency_keys
         (app_id, key, request_id, body_hash, claimed_at, lease_until, confirmed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
    )?
    .execute(params![
        claim.app_id,
        claim.key,
        claim.request_id.as_bytes(),
        claim.body_hash,
        claim.claimed_at(now),
        claim.lease_until(now),
    ])
    .map(drop)
}

fn renew(conn: &Connection, claim: &Claim, now: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE idempotency_keys SET lease_until = ?3 WHERE app_id = ?1 AND key = ?2",
    )?
    .execute(params![claim.app_id, claim.key, claim.lease_until(now)])
    .map(drop)
}
