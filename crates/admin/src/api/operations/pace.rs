//! How large the steps of an act on many callbacks are, and how long between two.

use std::time::Duration;

use crate::api::query_params::MAX_LIMIT;

/// The size of a step, and the time between two, at this rate per second.
pub(crate) fn steps_at(rate: u32) -> (u32, Duration) {
    let step = rate.clamp(1, MAX_LIMIT);
    (step, Duration::from_secs(1) * step / rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_by_small_steps() {
        for (rate, step, ms) in [
            (0, 1, 1_000),
            (1, 1, 1_000),
            (100, 100, 1_000),
            (1_000, 1_000, 1_000),
            (4_000, 1_000, 250),
        ] {
            assert_eq!(steps_at(rate), (step, Duration::from_millis(ms)), "{rate}");
        }
    }
}
