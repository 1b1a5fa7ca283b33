//! Idempotency keys: which request was the first to use a key.

use std::time::Duration;

use contract::duration_ms;
use uuid::Uuid;

use crate::column::bigint;

/// How long a key is kept, in ms.
pub(crate) const KEY_TTL_MS: u64 = 24 * 60 * 60 * 1_000;
/// By how much the clocks of two servers of the journal may differ, in ms.
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
    /// Now by the caller's clock, Unix ms. The journal has a clock of its own: a key is forgotten
    /// only when 24 hours have passed by both, so that one clock that is wrong forgets none early.
    pub now: u64,
    /// For so long, by the journal's clock, no other request may publish under the claim.
    pub lease: Duration,
}

impl Claim {
    /// When the key was claimed, as it is stored: the later one of two clocks. `journal_now` is
    /// Unix ms.
    pub(crate) fn claimed_at(&self, journal_now: u64) -> i64 {
        bigint(self.now.max(journal_now))
    }

    /// Until when the claim is leased, by the journal's clock.
    pub(crate) fn lease_until(&self, journal_now: u64) -> i64 {
        bigint(journal_now.saturating_add(duration_ms(self.lease)))
    }
}

/// Keys that were claimed at this time or before are past their 24 hours by two clocks (Unix ms).
pub(crate) fn keys_end_at(now: u64, journal_now: u64) -> i64 {
    bigint(now.min(journal_now).saturating_sub(KEY_TTL_MS))
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
    /// `journal_now`: now by the journal's clock, Unix ms.
    pub(crate) fn action(&self, claim: &Claim, journal_now: u64) -> ClaimAction {
        let id = self.request_id;
        if self.claimed_at <= keys_end_at(claim.now, journal_now) {
            ClaimAction::Replace
        } else if self.body_hash != claim.body_hash {
            ClaimAction::Keep(Claimed::Conflict)
        } else if self.confirmed {
            ClaimAction::Keep(Claimed::Confirmed(id))
        } else if self.is_leased(claim, journal_now) {
            ClaimAction::Keep(Claimed::Pending(id))
        } else {
            ClaimAction::Renew(id)
        }
    }

    /// Whether another request holds the lease. One that ends far later than a new one would was
    /// taken under a clock ahead, and is not waited for.
    fn is_leased(&self, claim: &Claim, journal_now: u64) -> bool {
        let latest = claim.lease_until(journal_now.saturating_add(MAX_CLOCK_DIFFERENCE_MS));
        (bigint(journal_now) + 1..=latest).contains(&self.lease_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_763_900_000_000;
    const SECOND: u64 = 1_000;
    const DAY: u64 = 86_400 * SECOND;

    fn claim(now: u64) -> Claim {
        Claim {
            app_id: "a".to_owned(),
            key: "k".to_owned(),
            request_id: Uuid::from_u128(2),
            body_hash: [7; 32],
            now,
            lease: Duration::from_secs(10),
        }
    }

    /// The claim of another request, as it was stored when the journal's clock showed this.
    fn stored(claim: &Claim, journal_now: u64) -> StoredClaim {
        StoredClaim {
            request_id: Uuid::from_u128(1),
            body_hash: claim.body_hash.to_vec(),
            claimed_at: claim.claimed_at(journal_now),
            lease_until: claim.lease_until(journal_now),
            confirmed: false,
        }
    }

    fn word(action: &ClaimAction) -> &'static str {
        match action {
            ClaimAction::Replace => "replace",
            ClaimAction::Renew(_) => "renew",
            ClaimAction::Keep(Claimed::Pending(_)) => "pending",
            ClaimAction::Keep(_) => "keep",
        }
    }

    #[test]
    fn a_lease_taken_under_a_clock_ahead_is_not_waited_for() {
        let claim = claim(NOW);
        for (lease_until, expected) in [
            (NOW, "renew"),
            (NOW + 1, "pending"),
            (NOW + 10_000, "pending"),
            // The clock of the server before was a little ahead.
            (NOW + 70_000, "pending"),
            (NOW + 70_001, "renew"),
            (NOW + 86_400_000, "renew"),
        ] {
            let stored = StoredClaim {
                lease_until: bigint(lease_until),
                ..stored(&claim, NOW)
            };
            assert_eq!(word(&stored.action(&claim, NOW)), expected, "{lease_until}");
        }
    }

    #[test]
    fn a_lease_follows_the_journals_clock_alone() {
        let held = stored(&claim(NOW), NOW);
        for process in [0, NOW - DAY, NOW - 30 * SECOND, NOW, NOW + 3_600 * SECOND] {
            let claim = claim(process);
            let (last, over) = (NOW + 10 * SECOND - 1, NOW + 10 * SECOND);
            assert_eq!(word(&held.action(&claim, last)), "pending", "{process}");
            assert_eq!(word(&held.action(&claim, over)), "renew", "{process}");
        }
    }

    #[test]
    fn one_clock_that_is_wrong_forgets_no_key_early() {
        let far = [NOW - 3 * DAY, NOW - DAY, NOW + DAY, NOW + 300 * DAY];
        let right = |time: u64| (time, time);
        // The time of the claim, and of a repeat a minute later: of the process, of the journal.
        let minute = 60 * SECOND;
        for wrong in far {
            for (first, repeat) in [
                ((wrong, NOW), right(NOW + minute)),
                ((NOW, wrong), right(NOW + minute)),
                (right(NOW), (wrong + minute, NOW + minute)),
                (right(NOW), (NOW + minute, wrong + minute)),
                // It is set between the two, or another process is wrong.
                ((wrong, NOW), (NOW + minute, wrong + minute)),
                ((NOW - DAY, NOW), (wrong + minute, NOW + minute)),
            ] {
                let mut held = stored(&claim(first.0), first.1);
                held.confirmed = true;
                let action = held.action(&claim(repeat.0), repeat.1);
                let expected = match (first, repeat) {
                    // Both were wrong, each at another time, and in the same direction.
                    ((wrong, _), (_, later)) if wrong < NOW && later > NOW + minute => continue,
                    _ => "keep",
                };
                assert_eq!(word(&action), expected, "{first:?} {repeat:?}");
            }
        }
    }

    #[test]
    fn a_key_ends_after_a_day_by_both_clocks() {
        let mut held = stored(&claim(NOW), NOW);
        held.confirmed = true;
        for (process, journal, expected) in [
            (NOW + DAY - 1, NOW + DAY - 1, "keep"),
            (NOW + DAY, NOW + DAY - 1, "keep"),
            (NOW + DAY - 1, NOW + DAY, "keep"),
            (NOW + DAY, NOW + DAY, "replace"),
        ] {
            let action = held.action(&claim(process), journal);
            assert_eq!(word(&action), expected, "{process} {journal}");
        }
    }
}
