//! How long does what is parked wait?

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// How long a message waits that finds its target over its limits: `until` (what the gate knows),
/// and on top half to all of 1 s, 2 s, 4 s .. 300 s by how often it was `parked` since its last
/// attempt, so that work parked together does not wake together. `chance` is 0 to 1.
///
/// With `left` until it expires, it comes back for its end then, but never in less than 1 s.
#[must_use]
pub fn park_after(until: Duration, parked: u32, chance: f64, left: Option<Duration>) -> Duration {
    let grown = 2_u32
        .checked_pow(parked)
        .map_or(LONGEST, |factor| FIRST.saturating_mul(factor).min(LONGEST));
    let chance = if chance.is_nan() {
        0.0
    } else {
        chance.clamp(0.0, 1.0)
    };
    let after = until
        .saturating_add(grown.mul_f64(0.5 + 0.5 * chance))
        .max(FIRST);
    match left {
        Some(left) => after.min(left.max(FIRST)),
        None => after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_grows_and_never_beyond_five_minutes() {
        let waits = |chance| {
            [0, 1, 2, 8, 9, 40, u32::MAX]
                .map(|parked| park_after(Duration::ZERO, parked, chance, None).as_secs_f64())
        };
        assert_eq!(waits(1.0), [1.0, 2.0, 4.0, 256.0, 300.0, 300.0, 300.0]);
        assert_eq!(waits(0.0), [1.0, 1.0, 2.0, 128.0, 150.0, 150.0, 150.0]);
        assert_eq!(waits(f64::NAN), waits(0.0));
    }

    proptest! {
        #[test]
        fn it_is_never_before_what_the_gate_knows_nor_far_behind_it(
            until in 0_u64..60_000, parked in any::<u32>(), chance in any::<f64>(),
        ) {
            let until = Duration::from_millis(until);
            let after = park_after(until, parked, chance, None);
            prop_assert!(after >= until.max(FIRST) && after <= until + LONGEST);
        }

        #[test]
        fn it_comes_back_when_it_expires(
            until in 0_u64..60_000, parked in any::<u32>(), chance in 0.0..1.0_f64, left in 0_u64..600_000,
        ) {
            let left = Duration::from_millis(left);
            let after = park_after(Duration::from_millis(until), parked, chance, Some(left));
            prop_assert!(after >= FIRST && after <= left.max(FIRST));
        }
    }
}
