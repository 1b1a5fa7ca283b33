//! Delay queues: how a message waits inside RabbitMQ.
//!
//! There are [`LEVELS`] queues: level *i* holds a message for 2^i seconds and dead-letters it to
//! the level below; the last one to the exchange of due messages. The routing key is the delay in
//! binary, most significant bit first; the exchange of a level whose bit is 0 skips its queue. A
//! delay costs one hop per bit set, so delays are rounded up to [`SIGNIFICANT_BITS`]. The scheme is
//! that of NServiceBus.RabbitMQ (`DelayInfrastructure.cs`).

use std::time::Duration;

/// 2^20 s are 12 days.
pub(in crate::rabbitmq) const LEVELS: u32 = 20;

/// A hop costs the broker about 80 us; 7 bits make a delay at most 1.6 % longer.
const SIGNIFICANT_BITS: u32 = 7;

/// The longest delay that the delay queues can hold: the seven highest bits set. 12 days.
pub const MAX_DELAY: Duration = Duration::from_secs(0b111_1111 << (LEVELS - SIGNIFICANT_BITS));

/// Where a message enters the delay queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rabbitmq) struct DelayEntry {
    /// The level of the delay's highest bit.
    pub(in crate::rabbitmq) level: u32,
    /// All bits, most significant first, separated by dots.
    pub(in crate::rabbitmq) routing_key: String,
}

impl DelayEntry {
    /// The entry of a message that waits for `delay`.
    pub(in crate::rabbitmq) fn new(delay: Duration) -> Self {
        let seconds = rounded_seconds(delay);
        let mut routing_key = String::with_capacity(2 * LEVELS as usize);
        for level in (0..LEVELS).rev() {
            routing_key.push(if seconds >> level & 1 == 1 { '1' } else { '0' });
            if level > 0 {
                routing_key.push('.');
            }
        }
        Self {
            level: seconds.ilog2(),
            routing_key,
        }
    }
}

/// The binding keys of a level's exchange: to its queue, or past it.
pub(super) struct LevelKeys {
    /// Of the level's queue.
    pub(super) queue: String,
    /// Of the exchange of the level below.
    pub(super) skip: String,
}

impl LevelKeys {
    pub(super) fn new(level: u32) -> Self {
        let higher_bits = "*.".repeat((LEVELS - 1 - level) as usize);
        Self {
            queue: format!("{higher_bits}1.#"),
            skip: format!("{higher_bits}0.#"),
        }
    }
}

/// The actual delay in whole seconds: at least one, and never shorter than requested, except for
/// the cap at [`MAX_DELAY`].
fn rounded_seconds(delay: Duration) -> u32 {
    let whole = delay
        .as_secs()
        .saturating_add(u64::from(delay.subsec_nanos() > 0));
    let capped = whole.clamp(1, MAX_DELAY.as_secs());
    // The cap is far below u32::MAX, so this never saturates.
    let capped = u32::try_from(capped).unwrap_or(u32::MAX);
    let bits = u32::BITS - capped.leading_zeros();
    let step = 1 << bits.saturating_sub(SIGNIFICANT_BITS);
    capped.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_delay_is_written_in_binary_from_its_highest_bit() {
        let entry = DelayEntry::new(Duration::from_secs(5));
        assert_eq!(entry.level, 2);
        assert_eq!(entry.routing_key, format!("{}1.0.1", "0.".repeat(17)));
    }

    #[test]
    fn the_shortest_delay_is_one_second() {
        assert_eq!(rounded_seconds(Duration::ZERO), 1);
        assert_eq!(rounded_seconds(Duration::from_millis(1)), 1);
        assert_eq!(rounded_seconds(Duration::from_millis(1_001)), 2);
    }

    #[test]
    fn the_longest_delay_fits_into_the_highest_level() {
        assert_eq!(DelayEntry::new(Duration::MAX).level, LEVELS - 1);
        assert_eq!(
            u64::from(rounded_seconds(Duration::MAX)),
            MAX_DELAY.as_secs()
        );
    }

    /// Whether a topic binding matches a routing key (`*`: one word, `#`: any number of words).
    fn matches(binding: &[&str], key: &[&str]) -> bool {
        match (binding, key) {
            (["#", rest @ ..], _) => (0..=key.len()).any(|skip| matches(rest, &key[skip..])),
            ([], []) => true,
            ([word, rest @ ..], [first, others @ ..]) => {
                (word == first || *word == "*") && matches(rest, others)
            }
            ([_, ..], []) | ([], [_, ..]) => false,
        }
    }

    /// The seconds that a message with this key waits on its way to the exchange of due messages.
    fn seconds_on_the_way(entry: &DelayEntry, suffix: &str) -> u64 {
        let routing_key = format!("{}{suffix}", entry.routing_key);
        let key: Vec<&str> = routing_key.split('.').collect();
        let mut waited = 0;
        for level in (0..=entry.level).rev() {
            let keys = LevelKeys::new(level);
            let [queue, skip] = [&keys.queue, &keys.skip]
                .map(|binding| matches(&binding.split('.').collect::<Vec<_>>(), &key));
            assert!(
                queue != skip,
                "level {level} routes {routing_key} twice or not at all"
            );
            waited += u64::from(queue) << level;
        }
        waited
    }

    #[test]
    fn the_bindings_add_up_to_the_delay_with_and_without_a_partition_in_the_key() {
        for seconds in [1, 2, 5, 100, 3_600, MAX_DELAY.as_secs()] {
            let entry = DelayEntry::new(Duration::from_secs(seconds));
            let rounded = u64::from(rounded_seconds(Duration::from_secs(seconds)));
            for suffix in ["", ".p01", ".p31"] {
                assert_eq!(seconds_on_the_way(&entry, suffix), rounded);
            }
        }
    }

    proptest! {
        #[test]
        fn a_delay_is_never_early_and_at_most_a_second_and_two_percent_late(
            millis in 0..MAX_DELAY.as_secs() * 1_000
        ) {
            let asked = Duration::from_millis(millis);
            let made = Duration::from_secs(rounded_seconds(asked).into());
            prop_assert!(made >= asked);
            prop_assert!(made <= asked + Duration::from_secs(1) + asked / 50);
        }

        #[test]
        fn a_delay_never_takes_more_than_seven_hops(millis in any::<u64>()) {
            prop_assert!(rounded_seconds(Duration::from_millis(millis)).count_ones() <= SIGNIFICANT_BITS);
        }
    }
}
