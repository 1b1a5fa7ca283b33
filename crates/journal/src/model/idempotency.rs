//! Idempotency keys: which request was the first to use a key.

use uuid::Uuid;

use crate::column::bigint;

/// How long a key is kept, in ms.
pub(crate) const KEY_TTL_MS: u64 = 24 * 60 * 60 * 1_000;
/// By how much the clocks of two processes may differ, in ms.
const MAX_CLOCK_DIFFERENCE_MS: u64 = 60_000;

/// A request's claim on a key. Keys belong to an app and are kept for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The caller's app.
    pub app_id: String,
    /// The caller's key.
    pub key: String,
    /// The id that the request gets if it is the first.
    pub request_id: Uuid,
    /// SHA-256 of the body's bytes.
    pub body_hash: [u8; 32],
    /// Now, Unix ms.
    pub now: u64,
    /// Until this time (Unix ms) no other request may publish under the claim.
    pub lease_until: u64,
}

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The lease is this request's: publish under this id, then confirm or release. If the first
    /// request's publish failed, it is that request's id.
    Acquired(Uuid),
    /// Another request is publishing under this id right now; ask again.
    Pending(Uuid),
    /// The first request's message is confirmed: answer with its id.
    Confirmed(Uuid),
    /// The key was used with another body.
    Conflict,
}

/// A claim as it is stored.
pub(crate) struct StoredClaim {
    pub(crate) request_id: Uuid,
    pub(crate) body_hash: Vec<u8>,
    /// Unix ms, as are all times.
    pub(crate) claimed_at: i64,
    pub(crate) lease_until: i64,
    pub(crate) confirmed: bool,
}

/// What to do with a key that is stored already.
pub(crate) enum ClaimAction {
    /// It is past its 24 hours: start anew with the new request.
    Replace,
    /// Its publisher gave up or crashed: extend the lease for this id. The key keeps its age.
    Renew(Uuid),
    /// Change nothing.
    Keep(Claimed),
}

impl StoredClaim {
    pub(crate) fn action(&self, claim: &Claim) -> ClaimAction {
        let id = self.request_id;
        if self.claimed_at <= bigint(claim.now.saturating_sub(KEY_TTL_MS)) {
            ClaimAction::Replace
        } else if self.body_hash != claim.body_hash {
            ClaimAction::Keep(Claimed::Conflict)
        } else if self.confirmed {
            ClaimAction::Keep(Claimed::Confirmed(id))
        } else if self.is_leased(claim) {
            ClaimAction::Keep(Claimed::Pending(id))
        } else {
            ClaimAction::Renew(id)
        }
    }

    /// Whether another request holds the lease. One that ends far later than a new one would was
    /// taken under a clock ahead, and is not waited for.
    fn is_leased(&self, claim: &Claim) -> bool {
        let latest = claim.lease_until.saturating_add(MAX_CLOCK_DIFFERENCE_MS);
        (bigint(claim.now) + 1..=bigint(latest)).contains(&self.lease_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_taken_under_a_clock_ahead_is_not_waited_for() {
        const NOW: u64 = 1_763_900_000_000;
        let claim = Claim {
            app_id: "a".to_owned(),
            key: "k".to_owned(),
            request_id: Uuid::from_u128(2),
            body_hash: [7; 32],
            now: NOW,
            lease_until: NOW + 10_000,
        };
        for (lease_until, leased) in [
            (NOW, false),
            (NOW + 1, true),
            (NOW + 10_000, true),
            // The other process's clock is a little ahead.
            (NOW + 70_000, true),
            (NOW + 70_001, false),
            (NOW + 86_400_000, false),
        ] {
            let stored = StoredClaim {
                request_id: Uuid::from_u128(1),
                body_hash: claim.body_hash.to_vec(),
                claimed_at: bigint(lease_until) - 10_000,
                lease_until: bigint(lease_until),
                confirmed: false,
            };
            let action = stored.action(&claim);
            let pending = matches!(action, ClaimAction::Keep(Claimed::Pending(_)));
            let renewed = matches!(action, ClaimAction::Renew(_));
            assert_eq!((pending, renewed), (leased, !leased), "{lease_until}");
        }
    }
}
