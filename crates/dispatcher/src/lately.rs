//! Which ids were seen lately, in bounded memory?

use std::collections::{HashSet, VecDeque};
use uuid::Uuid;

/// How many ids are kept: a few megabytes.
const MOST: usize = 100_000;

/// The newest ids that were inserted.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    ids: HashSet<Uuid>,
    /// Oldest first.
    order: VecDeque<Uuid>,
}

impl Lately {
    /// Keeps an id, and lets the oldest one go where there is no room.
    pub(crate) fn insert(&mut self, id: Uuid) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Whether an id is kept.
    pub(crate) fn contains(&self, id: Uuid) -> bool {
        self.ids.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_the_oldest_make_room() {
        let mut lately = Lately::default();
        let id = |number: usize| Uuid::from_u128(number as u128);
        for number in 0..=MOST {
            lately.insert(id(number));
            lately.insert(id(number)); // Again changes nothing.
        }
        assert!(!lately.contains(id(0)));
        assert!(lately.contains(id(1)) && lately.contains(id(MOST)));
        assert_eq!((lately.ids.len(), lately.order.len()), (MOST, MOST));
    }
}
