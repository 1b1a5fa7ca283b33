//! A pool that apps share: nobody's reserve is idle, and nobody takes it all.
//!
//! Dynamic thresholds (Choudhury and Hahne, 1998): an app may take a place as long as it then holds
//! at most three times as many as are left free. One greedy app ends at three quarters; `n` of them
//! leave 1 / (1 + 3n) free, so that a newcomer finds a place at once.

/// How many places an app may hold for each one that it leaves free.
const HELD_PER_FREE: u32 = 3;

/// Places of which one app alone can hold a given number.
#[derive(Debug, Clone, Copy)]
pub(super) struct SharedPool {
    size: u32,
    used: u32,
}

impl SharedPool {
    /// A pool in which one app alone can hold `alone` places, and a third of that is left for others.
    pub(super) fn for_one_app(alone: u32) -> Self {
        Self {
            size: alone.saturating_add(alone.div_ceil(HELD_PER_FREE)),
            used: 0,
        }
    }

    fn free(self) -> u32 {
        self.size.saturating_sub(self.used)
    }

    /// Whether an app that holds this many places may take another. One that holds none may take the
    /// last one.
    pub(super) fn admits(self, held: u32) -> bool {
        let left = self.free().checked_sub(1);
        left.is_some_and(|left| held == 0 || held < left.saturating_mul(HELD_PER_FREE))
    }

    pub(super) fn take(&mut self) {
        self.used = self.used.saturating_add(1);
    }

    pub(super) fn give_back(&mut self) {
        self.used = self.used.saturating_sub(1);
    }

    #[cfg(test)]
    pub(super) fn used(self) -> u32 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Apps take places in turn until none of them may take another.
    fn fill(pool: &mut SharedPool, held: &mut [u32]) {
        loop {
            let before = pool.used;
            for held in held.iter_mut() {
                if pool.admits(*held) {
                    pool.take();
                    *held += 1;
                }
            }
            if pool.used == before {
                return;
            }
        }
    }

    proptest! {
        #[test]
        fn one_app_alone_holds_exactly_what_the_pool_is_for(alone in 1_u32..100_000) {
            let (mut pool, mut held) = (SharedPool::for_one_app(alone), [0]);
            fill(&mut pool, &mut held);
            prop_assert_eq!(held[0], alone);
            prop_assert!(pool.free() >= alone / 3);
        }

        #[test]
        fn a_newcomer_finds_a_place_however_many_greedy_apps_there_are(
            alone in 1_u32..1_000, greedy in 1_usize..500,
        ) {
            let mut pool = SharedPool::for_one_app(alone);
            let mut held = vec![0; greedy];
            fill(&mut pool, &mut held);
            let greedy = u32::try_from(greedy).unwrap();
            // More apps than places: each place has another app, and the rest take turns.
            if greedy < pool.size {
                prop_assert!(pool.admits(0));
                prop_assert!(pool.free() >= pool.size / (1 + 3 * greedy));
            }
            prop_assert!(pool.used <= pool.size);
            let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{least} to {most}");
        }
    }
}
