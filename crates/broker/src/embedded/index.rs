//! Which of a lane's messages is next, without holding the whole lane in memory?
//!
//! Messages wait in the order of their key: due time, then number. Memory holds those that are near;
//! the [`Horizon`] says up to where memory is complete. What lies beyond is on disk alone and is
//! loaded when it comes near. Pure: time is an argument, loading is somebody else's.

use bytes::Bytes;
use std::collections::BTreeMap;

/// Due time (Unix ms), then number: the order in which messages leave.
pub(super) type Key = (u64, i64);

/// Entries kept in memory for a lane; a page of this many is loaded at a time at most.
pub(super) const MOST_NEAR: usize = 20_000;
/// Below this many a page is loaded.
const FEW_NEAR: usize = MOST_NEAR / 4;
/// Bodies kept beside their entries, so that a message just published is not read back.
const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Up to where memory knows every waiting message of the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Horizon {
    /// All keys up to this one.
    UpTo(Key),
    /// All there are.
    Everything,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Its body, unless it must be read from disk.
    pub(super) body: Option<Bytes>,
    /// Whether it was handed out before.
    pub(super) redelivered: bool,
}

/// What memory knows of one lane.
#[derive(Debug)]
pub(super) struct Index {
    near: BTreeMap<Key, Waiting>,
    horizon: Horizon,
    body_bytes: usize,
}

impl Index {
    /// Knows nothing yet: everything is on disk.
    pub(super) fn new() -> Self {
        Self {
            near: BTreeMap::new(),
            horizon: Horizon::UpTo((0, 0)),
            body_bytes: 0,
        }
    }

    /// Notes a message that has just become durable.
    pub(super) fn put(&mut self, key: Key, body: Bytes) {
        if Horizon::UpTo(key) <= self.horizon {
            self.insert(
                key,
                Waiting {
                    body: Some(body),
                    redelivered: false,
                },
            );
        }
    }

    /// Takes back a message that was taken and not settled, with whether it was handed out.
    pub(super) fn put_back(&mut self, key: Key, redelivered: bool) {
        // Also beyond the horizon: it is in memory now, and a page loaded later meets it here.
        self.insert(
            key,
            Waiting {
                body: None,
                redelivered,
            },
        );
    }

    fn insert(&mut self, key: Key, mut waiting: Waiting) {
        if let Some(body) = &waiting.body {
            if self.body_bytes + body.len() > MOST_BODY_BYTES {
                waiting.body = None;
            } else {
                self.body_bytes += body.len();
            }
        }
        if let Some(Waiting {
            body: Some(body), ..
        }) = self.near.insert(key, waiting)
        {
            self.body_bytes -= body.len();
        }
        if self.near.len() > MOST_NEAR {
            self.draw_in();
        }
    }

    /// Forgets the farther half: it is on disk anyway.
    fn draw_in(&mut self) {
        let Some(key) = self.near.keys().nth(MOST_NEAR / 2).copied() else {
            return;
        };
        let far = self.near.split_off(&key);
        let bytes: usize = far
            .values()
            .filter_map(|it| it.body.as_ref())
            .map(Bytes::len)
            .sum();
        self.body_bytes -= bytes;
        if let Some((last, _)) = self.near.last_key_value() {
            self.horizon = self.horizon.min(Horizon::UpTo(*last));
        }
    }

    /// Takes the next message that is due at `now` (Unix ms), if memory knows for certain that it is
    /// the next.
    pub(super) fn take_due(&mut self, now: u64) -> Option<(Key, Waiting)> {
        let entry = self.near.first_entry()?;
        if entry.key().0 > now || Horizon::UpTo(*entry.key()) > self.horizon {
            return None;
        }
        let (key, waiting) = entry.remove_entry();
        self.body_bytes -= waiting.body.as_ref().map_or(0, Bytes::len);
        Some((key, waiting))
    }

    /// Whether the body of the next known message must be read from disk.
    pub(super) fn next_is_unread(&self) -> bool {
        let next = self.near.first_key_value();
        next.is_some_and(|(_, waiting)| waiting.body.is_none())
    }

    /// When the next known message is due.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.near.first_key_value().map(|(key, _)| key.0)
    }

    /// After which key a page should be loaded, and how many entries it may have.
    pub(super) fn wants_page(&self) -> Option<(Key, usize)> {
        match self.horizon {
            Horizon::UpTo(key) if self.near.len() < FEW_NEAR => {
                Some((key, MOST_NEAR - self.near.len()))
            }
            Horizon::UpTo(_) | Horizon::Everything => None,
        }
    }

    /// Notes a page: the keys on disk after the horizon, in order, without those in hand.
    /// `whole`: there are no more after them. `last` is the last key read, in hand or not.
    pub(super) fn page(
        &mut self,
        keys: impl IntoIterator<Item = Key>,
        last: Option<Key>,
        whole: bool,
    ) {
        for key in keys {
            self.near.entry(key).or_insert(Waiting {
                body: None,
                redelivered: false,
            });
        }
        self.horizon = match (whole, last) {
            (true, _) => Horizon::Everything,
            (false, Some(last)) => Horizon::UpTo(last),
            (false, None) => self.horizon,
        };
    }

    /// How many known messages are due at `now`.
    pub(super) fn due(&self, now: u64) -> usize {
        self.near.range(..=(now, i64::MAX)).count()
    }

    /// The horizon's key, while there is one: due messages beyond it are on disk alone.
    pub(super) fn known_up_to(&self) -> Option<Key> {
        match self.horizon {
            Horizon::UpTo(key) => Some(key),
            Horizon::Everything => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn whole() -> Index {
        let mut index = Index::new();
        index.page([], None, true);
        index
    }

    #[test]
    fn messages_leave_by_due_time_then_number_and_never_early() {
        let mut index = whole();
        for key in [(30, 1), (10, 3), (10, 2), (20, 4)] {
            index.put(key, Bytes::from_static(b"body"));
        }
        let taken: Vec<Key> = std::iter::from_fn(|| index.take_due(20))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(taken, [(10, 2), (10, 3), (20, 4)]);
        assert_eq!(index.next_due(), Some(30));
    }

    #[test]
    fn what_lies_beyond_the_horizon_is_not_kept() {
        let mut index = Index::new();
        index.put((10, 1), Bytes::new());
        assert_eq!(index.take_due(99), None);
        assert_eq!(index.wants_page(), Some(((0, 0), MOST_NEAR)));
        index.page([(10, 1)], Some((10, 1)), false);
        index.put((11, 2), Bytes::new());
        assert_eq!(index.take_due(99).map(|(key, _)| key), Some((10, 1)));
        assert_eq!(index.take_due(99), None);
    }

    #[test]
    fn memory_stays_bounded_however_many_messages_wait() {
        let mut index = whole();
        let body = Bytes::from(vec![0; 4_096]);
        for number in 0..200_000 {
            index.put((1, number), body.clone());
        }
        assert!(index.near.len() <= MOST_NEAR);
        assert!(index.body_bytes <= MOST_BODY_BYTES);
        let kept: usize = index
            .near
            .values()
            .filter_map(|it| it.body.as_ref())
            .map(Bytes::len)
            .sum();
        assert_eq!(index.body_bytes, kept);
    }

    proptest! {
        /// A disk beside it, pages loaded on demand: every message leaves exactly once, in order
        /// among those that are there.
        #[test]
        fn nothing_is_lost_or_doubled_between_memory_and_disk(
            steps in prop::collection::vec((0..4_u8, 0..50_u64), 1..300),
            page_size in 1..5_usize,
        ) {
            let (mut index, mut disk, mut in_hand) =
                (Index::new(), BTreeSet::new(), BTreeSet::new());
            let (mut number, mut left) = (0, Vec::new());
            let load = |index: &mut Index, disk: &BTreeSet<Key>, in_hand: &BTreeSet<Key>| {
                if let Some((after, _)) = index.wants_page() {
                    let read: Vec<Key> =
                        disk.iter().filter(|key| **key > after).take(page_size).copied().collect();
                    let whole = read.len() < page_size;
                    let last = read.last().copied();
                    let keys = read.into_iter().filter(|key| !in_hand.contains(key));
                    index.page(keys, last, whole);
                }
            };
            for (what, due) in steps {
                match what {
                    0 | 1 => {
                        number += 1;
                        disk.insert((due, number));
                        index.put((due, number), Bytes::new());
                    }
                    2 => load(&mut index, &disk, &in_hand),
                    _ => if let Some((key, _)) = index.take_due(due) {
                        prop_assert!(key.0 <= due);
                        prop_assert!(in_hand.insert(key), "handed out twice: {key:?}");
                        if key.1 % 3 == 0 {
                            in_hand.remove(&key);
                            index.put_back(key, true);
                        } else {
                            in_hand.remove(&key);
                            disk.remove(&key);
                            left.push(key);
                        }
                    },
                }
                if what == 3 && number % 7 == 0 {
                    index.draw_in();
                }
            }
            // At the end of time everything comes out.
            for _ in 0..10_000 {
                if let Some((key, _)) = index.take_due(u64::MAX) {
                    disk.remove(&key);
                    left.push(key);
                } else if index.wants_page().is_some() {
                    load(&mut index, &disk, &in_hand);
                } else {
                    break;
                }
            }
            prop_assert!(disk.is_empty(), "lost: {disk:?}");
            let unique: BTreeSet<Key> = left.iter().copied().collect();
            prop_assert_eq!(unique.len(), left.len());
            prop_assert_eq!(left.len(), usize::try_from(number).unwrap());
        }
    }
}
