//! Was this signed request here before?
//!
//! Remembered for as long as its signature would be taken, and no longer.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest as _, Sha256};

/// Half a hash tells two ids apart, whoever chooses them: 2^64 would have to be tried.
type Mark = [u8; 16];

/// The ids of signed requests of one app, as far as they could come again.
#[derive(Debug)]
pub struct Seen {
    marks: HashSet<Mark>,
    /// By the second (Unix) after which they are forgotten.
    by_end: BTreeMap<u64, Vec<Mark>>,
    most: usize,
}

/// Why an id is not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenFlaw {
    /// It is there.
    Known,
    /// There is no room before so many seconds have passed.
    Full {
        /// Seconds, at least 1.
        wait: u64,
    },
}

impl Seen {
    /// Remembers `most` ids at a time.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            marks: HashSet::new(),
            by_end: BTreeMap::new(),
            most,
        }
    }

    /// Enters an id, to be known up to `until`; both times are Unix seconds.
    ///
    /// # Errors
    /// [`SeenFlaw`].
    pub fn enter(&mut self, id: &str, until: u64, now: u64) -> Result<(), SeenFlaw> {
        self.forget(now);
        let mark = mark(id);
        if self.marks.contains(&mark) {
            return Err(SeenFlaw::Known);
        }
        if self.marks.len() >= self.most {
            let first = self.by_end.keys().next().copied().unwrap_or(now);
            let wait = first.saturating_sub(now) + 1;
            return Err(SeenFlaw::Full { wait });
        }
        self.marks.insert(mark);
        self.by_end.entry(until).or_default().push(mark);
        Ok(())
    }

    fn forget(&mut self, now: u64) {
        while let Some(first) = self.by_end.first_entry() {
            if *first.key() >= now {
                return;
            }
            for mark in first.remove() {
                self.marks.remove(&mark);
            }
        }
    }
}

fn mark(id: &str) -> Mark {
    let hash: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    let mut mark = [0; 16];
    mark.copy_from_slice(&hash[..16]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_here_is_known_until_its_time_is_over() {
        let mut seen = Seen::new(10);
        assert_eq!(seen.enter("a", 400, 100), Ok(()));
        assert_eq!(seen.enter("a", 400, 100), Err(SeenFlaw::Known));
        assert_eq!(seen.enter("a", 700, 400), Err(SeenFlaw::Known));
        assert_eq!(seen.enter("b", 500, 400), Ok(()));
        assert_eq!(seen.enter("a", 701, 401), Ok(()));
        assert_eq!((seen.marks.len(), seen.by_end.len()), (2, 2));
    }

    #[test]
    fn memory_is_bounded_and_says_when_there_is_room() {
        let mut seen = Seen::new(2);
        assert_eq!(seen.enter("a", 300, 100), Ok(()));
        assert_eq!(seen.enter("b", 200, 100), Ok(()));
        assert_eq!(seen.enter("c", 300, 150), Err(SeenFlaw::Full { wait: 51 }));
        assert_eq!(seen.enter("a", 300, 150), Err(SeenFlaw::Known));
        assert_eq!(seen.enter("c", 300, 201), Ok(()));
        assert_eq!(seen.marks.len(), 2);
    }
}
