//! Replay cache: the ids of signed requests that were accepted.
//!
//! An id is kept for as long as its signature would be accepted. A general cache does not fit: it
//! evicts when it is full, and an evicted request could be replayed; and it reads the clock itself.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest as _, Sha256};

/// Half a hash is enough: finding two ids with the same digest takes 2^64 tries.
type IdDigest = [u8; 16];

/// The ids of one app's signed requests that could be replayed.
#[derive(Debug)]
pub struct ReplayCache {
    ids: HashSet<IdDigest>,
    /// By the last second (Unix) in which they are kept.
    by_expiry: BTreeMap<u64, Vec<IdDigest>>,
    max_ids: usize,
}

/// Why an id is not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// It was inserted before.
    Replayed,
    /// The cache is full until this many seconds have passed.
    Full {
        /// Seconds, at least 1.
        wait: u64,
    },
}

impl ReplayCache {
    /// A cache of at most `max_ids` ids.
    #[must_use]
    pub fn new(max_ids: usize) -> Self {
        Self {
            ids: HashSet::new(),
            by_expiry: BTreeMap::new(),
            max_ids,
        }
    }

    /// Inserts an id, to be kept up to and including `until`. Both times are Unix seconds.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn insert(&mut self, id: &str, until: u64, now: u64) -> Result<(), ReplayError> {
        self.remove_expired(now);
        let digest = digest(id);
        if self.ids.contains(&digest) {
            return Err(ReplayError::Replayed);
        }
        if self.ids.len() >= self.max_ids {
            let first = self.by_expiry.keys().next().copied().unwrap_or(now);
            let wait = first.saturating_sub(now) + 1;
            return Err(ReplayError::Full { wait });
        }
        self.ids.insert(digest);
        self.by_expiry.entry(until).or_default().push(digest);
        Ok(())
    }

    fn remove_expired(&mut self, now: u64) {
        while let Some(first) = self.by_expiry.first_entry() {
            if *first.key() >= now {
                return;
            }
            for digest in first.remove() {
                self.ids.remove(&digest);
            }
        }
    }
}

fn digest(id: &str) -> IdDigest {
    let hash: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_until_it_expires() {
        let mut cache = ReplayCache::new(10);
        assert_eq!(cache.insert("a", 400, 100), Ok(()));
        assert_eq!(cache.insert("a", 400, 100), Err(ReplayError::Replayed));
        assert_eq!(cache.insert("a", 700, 400), Err(ReplayError::Replayed));
        assert_eq!(cache.insert("b", 500, 400), Ok(()));
        assert_eq!(cache.insert("a", 701, 401), Ok(()));
        assert_eq!((cache.ids.len(), cache.by_expiry.len()), (2, 2));
    }

    #[test]
    fn a_full_cache_refuses_and_says_how_long_to_wait() {
        let mut cache = ReplayCache::new(2);
        assert_eq!(cache.insert("a", 300, 100), Ok(()));
        assert_eq!(cache.insert("b", 200, 100), Ok(()));
        let full = Err(ReplayError::Full { wait: 51 });
        assert_eq!(cache.insert("c", 300, 150), full);
        assert_eq!(cache.insert("a", 300, 150), Err(ReplayError::Replayed));
        assert_eq!(cache.insert("c", 300, 201), Ok(()));
        assert_eq!(cache.ids.len(), 2);
    }
}
