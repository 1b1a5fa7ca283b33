//! Whose clock differs from the others'.

/// What differs by less is not worth a word: schedules and signatures bear it.
const TOLERATED_MS: i64 = 2_000;

/// How far the clock of a process is ahead of the asker's, in ms: the answer is taken to have been
/// written halfway between question and answer. All in Unix ms, the last two by the asker's clock.
pub(crate) fn offset_ms(clock: u64, asked_at: u64, answered_at: u64) -> i64 {
    let halfway = asked_at.saturating_add(answered_at.saturating_sub(asked_at) / 2);
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(clock).saturating_sub(signed(halfway))
}

/// A clock that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skew {
    /// The position of its offset.
    pub(crate) index: usize,
    /// How far it is ahead of most others, in ms.
    pub(crate) ahead_ms: i64,
}

/// The clocks that differ by more than two seconds from most others. `offsets`: those of all processes
/// against the asker, of which one is its own.
pub(crate) fn skewed(offsets: &[i64]) -> Vec<Skew> {
    let mut sorted = offsets.to_vec();
    sorted.sort_unstable();
    // Of two middle ones, the asker's side: with two processes nobody can tell which is wrong.
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    let middle = [low, high].map(|at| sorted.get(at).copied().unwrap_or(0));
    let [low, high] = middle;
    let most = if low.abs() <= high.abs() { low } else { high };
    let skews = offsets.iter().enumerate().map(|(index, offset)| Skew {
        index,
        ahead_ms: offset.saturating_sub(most),
    });
    skews
        .filter(|skew| skew.ahead_ms.abs() > TOLERATED_MS)
        .collect()
}

/// How far the fastest and the slowest of these clocks are apart, in ms. `None` of fewer than two.
pub(super) fn spread_ms(offsets: &[i64]) -> Option<u64> {
    let (first, last) = (offsets.iter().min()?, offsets.iter().max()?);
    (offsets.len() > 1).then(|| last.abs_diff(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_between_the_fastest_and_the_slowest_clock() {
        assert_eq!(spread_ms(&[]), None);
        assert_eq!(spread_ms(&[0]), None);
        assert_eq!(spread_ms(&[0, 0]), Some(0));
        assert_eq!(spread_ms(&[0, -1_500, 700]), Some(2_200));
        assert_eq!(spread_ms(&[i64::MIN, i64::MAX]), Some(u64::MAX));
    }

    #[test]
    fn an_offset_allows_for_the_way_there_and_back() {
        assert_eq!(offset_ms(10_000, 9_900, 10_100), 0);
        assert_eq!(offset_ms(15_000, 9_900, 10_100), 5_000);
        assert_eq!(offset_ms(4_000, 9_900, 10_100), -6_000);
        // The asker's clock went back meanwhile.
        assert_eq!(offset_ms(10_000, 10_000, 9_000), 0);
    }

    #[test]
    fn a_clock_that_differs_from_most_is_named() {
        let indices = |offsets: &[i64]| -> Vec<(usize, i64)> {
            let skews = skewed(offsets).into_iter();
            skews.map(|skew| (skew.index, skew.ahead_ms)).collect()
        };
        assert_eq!(indices(&[]), []);
        assert_eq!(indices(&[0, 3, -900, 1_999]), []);
        assert_eq!(indices(&[0, 10, 5_000]), [(2, 4_990)]);
        assert_eq!(indices(&[0, -7_000, 12]), [(1, -7_000)]);
        // The asker's own clock is the one that is wrong.
        assert_eq!(indices(&[0, 5_000, 5_010, 5_005]), [(0, -5_000)]);
        // Of two, the asker's is believed.
        assert_eq!(indices(&[0, 5_000]), [(1, 5_000)]);
    }
}
