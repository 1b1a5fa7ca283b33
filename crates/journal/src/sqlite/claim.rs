//! Who is the first to bear an idempotency key, and who takes it up again?
//!
//! Each function runs within the one writing transaction.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::claim::{Claim, Claimed};
use crate::precedence::number;

use super::read::{id, unsigned};

/// How long a key is kept, in ms.
pub(super) const KEPT: u64 = 24 * 60 * 60 * 1_000;

struct Held {
    claimed: Claimed,
    /// Of the first one's body.
    body_hash: [u8; 32],
    claimed_at: u64,
    lease_until: u64,
}

pub(super) fn claim(connection: &Connection, claim: &Claim) -> rusqlite::Result<Claimed> {
    let held = connection
        .prepare_cached(
            "SELECT request_id, body_hash, claimed_at, lease_until, confirmed FROM claims
             WHERE app_id = ?1 AND key = ?2",
        )?
        .query_row(params![claim.app_id, claim.key], |row| {
            let request_id = id(row, 0)?;
            let confirmed: bool = row.get(4)?;
            Ok(Held {
                claimed: if confirmed {
                    Claimed::Confirmed(request_id)
                } else {
                    Claimed::Pending(request_id)
                },
                body_hash: row.get(1)?,
                claimed_at: unsigned(row, 2)?,
                lease_until: unsigned(row, 3)?,
            })
        })
        .optional()?;
    match held {
        Some(held) if claim.now.saturating_sub(held.claimed_at) < KEPT => {
            if held.body_hash != claim.body_hash {
                return Ok(Claimed::Conflict);
            }
            let Claimed::Pending(request_id) = held.claimed else {
                return Ok(held.claimed);
            };
            if held.lease_until > claim.now {
                return Ok(held.claimed);
            }
            lease(connection, claim)?;
            Ok(Claimed::Yours(request_id))
        }
        Some(_) | None => {
            first(connection, claim)?;
            Ok(Claimed::Yours(claim.request_id))
        }
    }
}

fn first(connection: &Connection, claim: &Claim) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO claims
             (app_id, key, request_id, body_hash, claimed_at, lease_until, confirmed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
        )?
        .execute(params![
            claim.app_id,
            claim.key,
            claim.request_id.as_bytes(),
            claim.body_hash,
            number(claim.now),
            number(claim.lease_until),
        ])
        .map(drop)
}

fn lease(connection: &Connection, claim: &Claim) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE claims SET lease_until = ?3 WHERE app_id = ?1 AND key = ?2")?
        .execute(params![claim.app_id, claim.key, number(claim.lease_until)])
        .map(drop)
}

pub(super) fn confirm(connection: &Connection, app_id: &str, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE claims SET confirmed = 1 WHERE app_id = ?1 AND key = ?2")?
        .execute([app_id, key])
        .map(drop)
}

pub(super) fn release(connection: &Connection, app_id: &str, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE claims SET lease_until = 0 WHERE app_id = ?1 AND key = ?2")?
        .execute([app_id, key])
        .map(drop)
}
