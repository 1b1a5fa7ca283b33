//! How does a message wait for a while inside RabbitMQ?
//!
//! A ladder of [`LEVELS`] queues: level *i* holds a message for 2^i seconds and dead-letters it to
//! the level below; the last one to the exchange of due messages. The routing key is the delay in
//! binary, most significant bit first; a level whose bit is 0 is skipped by its exchange. A delay
//! costs as many hops as it has bits set, so delays are rounded up to [`SIGNIFICANT_BITS`].
//! The scheme is that of NServiceBus.RabbitMQ (`DelayInfrastructure.cs`).

use std::time::Duration;

/// Levels of the ladder: 2^20 s are 12 days.
pub(super) const LEVELS: u32 = 20;

/// A hop costs the broker about 80 us; 7 bits make a delay at most 1.6 % longer.
const SIGNIFICANT_BITS: u32 = 7;

/// The longest delay the ladder can hold: seven bits set, at the top. 12 days.
pub const LONGEST_DELAY: Duration = Duration::from_secs(0b111_1111 << (LEVELS - SIGNIFICANT_BITS));

/// Where a message enters the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The level of the delay's highest bit.
    pub(super) level: u32,
    /// All bits, most significant first, separated by dots.
    pub(super) routing_key: String,
}

/// The delay in whole seconds that the ladder really makes of a wish: at least one second, never
/// shorter than the wish (but for the cap at [`LONGEST_DELAY`]).
fn seconds(delay: Duration) -> u32 {
    let whole = delay
        .as_secs()
        .saturating_add(u64::from(delay.subsec_nanos() > 0));
    let capped = whole.clamp(1, LONGEST_DELAY.as_secs());
    // The cap is far below u32::MAX, so this never saturates.
    let capped = u32::try_from(capped).unwrap_or(u32::MAX);
    let bits = u32::BITS - capped.leading_zeros();
    let step = 1 << bits.saturating_sub(SIGNIFICANT_BITS);
    capped.div_ceil(step) * step
}

/// The place where a message enters the ladder to wait for `delay`.
pub(super) fn entry(delay: Duration) -> Entry {
    let seconds = seconds(delay);
    let mut routing_key = String::with_capacity(2 * LEVELS as usize);
    for level in (0..LEVELS).rev() {
        routing_key.push(if seconds >> level & 1 == 1 { '1' } else { '0' });
        if level > 0 {
            routing_key.push('.');
        }
    }
    Entry {
        level: seconds.ilog2(),
        routing_key,
    }
}

/// The binding patterns of a level's exchange: what stops here, and what falls through.
pub(super) fn patterns(level: u32) -> (String, String) {
    let skipped = "*.".repeat((LEVELS - 1 - level) as usize);
    (format!("{skipped}1.#"), format!("{skipped}0.#"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_delay_is_written_in_binary_from_its_highest_bit() {
        let entry = entry(Duration::from_secs(5));
        assert_eq!(entry.level, 2);
        assert_eq!(entry.routing_key, format!("{}1.0.1", "0.".repeat(17)));
    }

    #[test]
    fn nothing_waits_for_less_than_a_second() {
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_millis(1_001)), 2);
    }

    #[test]
    fn the_longest_delay_stays_on_the_ladder() {
        assert_eq!(entry(Duration::MAX).level, LEVELS - 1);
        assert_eq!(u64::from(seconds(Duration::MAX)), LONGEST_DELAY.as_secs());
    }

    proptest! {
        #[test]
        fn a_delay_is_never_early_and_at_most_a_second_and_two_percent_late(
            millis in 0..LONGEST_DELAY.as_secs() * 1_000
        ) {
            let wish = Duration::from_millis(millis);
            let made = Duration::from_secs(seconds(wish).into());
            prop_assert!(made >= wish);
            prop_assert!(made <= wish + Duration::from_secs(1) + wish / 50);
        }

        #[test]
        fn a_delay_never_takes_more_than_seven_hops(millis in any::<u64>()) {
            prop_assert!(seconds(Duration::from_millis(millis)).count_ones() <= SIGNIFICANT_BITS);
        }
    }
}
