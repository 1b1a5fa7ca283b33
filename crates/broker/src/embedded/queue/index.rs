//! The order of a queue's messages, without holding the whole queue in memory.
//!
//! Messages leave in the order of their key: due time, then number. Memory holds the next ones, and
//! is complete up to the [`Horizon`]. Messages beyond it are only on disk, and are loaded page by
//! page. Pure: time is an argument, and the caller loads the pages.

use bytes::Bytes;
use std::collections::BTreeMap;

/// Due time (Unix ms), then number: the order in which messages leave.
pub(in crate::embedded) type MessageKey = (u64, i64);

/// The maximum number of entries in memory for a queue, and so in a page.
const MAX_ENTRIES: usize = 20_000;
/// Below this many entries a page is loaded.
const LOW_ENTRIES: usize = MAX_ENTRIES / 4;
/// Bodies kept with their entries, so that a message just published is not read back from disk.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Up to which key memory holds every waiting message of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Horizon {
    /// All keys up to this one.
    UpTo(MessageKey),
    /// Memory holds all messages.
    Everything,
}

/// A message that waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::embedded) struct IndexedMessage {
    /// Its body, unless it must be read from disk.
    pub(in crate::embedded) body: Option<Bytes>,
    /// Whether it was delivered before.
    pub(in crate::embedded) redelivered: bool,
}

/// The messages of one queue that memory holds.
#[derive(Debug)]
pub(in crate::embedded) struct QueueIndex {
    entries: BTreeMap<MessageKey, IndexedMessage>,
    horizon: Horizon,
    body_bytes: usize,
}

/// Empty: everything is on disk.
impl Default for QueueIndex {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            horizon: Horizon::UpTo((0, 0)),
            body_bytes: 0,
        }
    }
}

impl QueueIndex {
    /// Adds a message that has just become durable.
    pub(in crate::embedded) fn insert_stored(&mut self, key: MessageKey, body: Bytes) {
        if Horizon::UpTo(key) <= self.horizon {
            self.insert(
                key,
                IndexedMessage {
                    body: Some(body),
                    redelivered: false,
                },
            );
        }
    }

    /// Returns a message that was taken and not settled.
    pub(in crate::embedded) fn put_back(&mut self, key: MessageKey, redelivered: bool) {
        // Also beyond the horizon: a page loaded later finds it here already.
        self.insert(
            key,
            IndexedMessage {
                body: None,
                redelivered,
            },
        );
    }

    fn insert(&mut self, key: MessageKey, mut waiting: IndexedMessage) {
        if let Some(body) = &waiting.body {
            if self.body_bytes + body.len() > MAX_BODY_BYTES {
                waiting.body = None;
            } else {
                self.body_bytes += body.len();
            }
        }
        if let Some(IndexedMessage {
            body: Some(body), ..
        }) = self.entries.insert(key, waiting)
        {
            self.body_bytes -= body.len();
        }
        if self.entries.len() > MAX_ENTRIES {
            self.evict_far_half();
        }
    }

    /// Evicts the half that is due later; it is on disk anyway.
    fn evict_far_half(&mut self) {
        let Some(key) = self.entries.keys().nth(MAX_ENTRIES / 2).copied() else {
            return;
        };
        let far = self.entries.split_off(&key);
        let bytes: usize = far
            .values()
            .filter_map(|waiting| waiting.body.as_ref())
            .map(Bytes::len)
            .sum();
        self.body_bytes -= bytes;
        if let Some((last, _)) = self.entries.last_key_value() {
            self.horizon = self.horizon.min(Horizon::UpTo(*last));
        }
    }

    /// Takes the next message if it is due at `now` (Unix ms). `None` as well if an earlier one may
    /// be on disk.
    pub(in crate::embedded) fn take_due(
        &mut self,
        now: u64,
    ) -> Option<(MessageKey, IndexedMessage)> {
        let entry = self.entries.first_entry()?;
        if entry.key().0 > now || Horizon::UpTo(*entry.key()) > self.horizon {
            return None;
        }
        let (key, waiting) = entry.remove_entry();
        self.body_bytes -= waiting.body.as_ref().map_or(0, Bytes::len);
        Some((key, waiting))
    }

    /// Removes a message, if memory holds it.
    pub(in crate::embedded) fn remove(&mut self, key: MessageKey) -> Option<IndexedMessage> {
        let waiting = self.entries.remove(&key)?;
        self.body_bytes -= waiting.body.as_ref().map_or(0, Bytes::len);
        Some(waiting)
    }

    /// Whether the body of the next message must be read from disk.
    pub(in crate::embedded) fn next_is_unread(&self) -> bool {
        let next = self.entries.first_key_value();
        next.is_some_and(|(_, waiting)| waiting.body.is_none())
    }

    /// When the next message in memory is due.
    pub(in crate::embedded) fn next_due(&self) -> Option<u64> {
        self.entries.first_key_value().map(|(key, _)| key.0)
    }

    /// The key after which a page should be loaded, and its maximum length.
    pub(in crate::embedded) fn wants_page(&self) -> Option<(MessageKey, usize)> {
        match self.horizon {
            Horizon::UpTo(key) if self.entries.len() < LOW_ENTRIES => {
                Some((key, MAX_ENTRIES - self.entries.len()))
            }
            Horizon::UpTo(_) | Horizon::Everything => None,
        }
    }

    /// Adds a page: the keys on disk after the horizon, in order, without those already taken.
    /// `last` is the last key read, taken or not; `is_last_page`: no keys come after it.
    pub(in crate::embedded) fn add_page(
        &mut self,
        keys: impl IntoIterator<Item = MessageKey>,
        last: Option<MessageKey>,
        is_last_page: bool,
    ) {
        for key in keys {
            self.entries.entry(key).or_insert(IndexedMessage {
                body: None,
                redelivered: false,
            });
        }
        self.horizon = match (is_last_page, last) {
            (true, _) => Horizon::Everything,
            (false, Some(last)) => Horizon::UpTo(last),
            (false, None) => self.horizon,
        };
    }

    /// How many messages in memory are due at `now`.
    pub(in crate::embedded) fn count_due(&self, now: u64) -> usize {
        self.entries.range(..=(now, i64::MAX)).count()
    }

    /// The horizon's key; `None` when memory holds everything.
    pub(in crate::embedded) fn horizon_key(&self) -> Option<MessageKey> {
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

    fn complete_index() -> QueueIndex {
        let mut index = QueueIndex::default();
        index.add_page([], None, true);
        index
    }

    #[test]
    fn messages_leave_by_due_time_then_number_and_never_early() {
        let mut index = complete_index();
        for key in [(30, 1), (10, 3), (10, 2), (20, 4)] {
            index.insert_stored(key, Bytes::from_static(b"body"));
        }
        let taken: Vec<MessageKey> = std::iter::from_fn(|| index.take_due(20))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(taken, [(10, 2), (10, 3), (20, 4)]);
        assert_eq!(index.next_due(), Some(30));
    }

    #[test]
    fn messages_beyond_the_horizon_are_not_kept() {
        let mut index = QueueIndex::default();
        index.insert_stored((10, 1), Bytes::new());
        assert_eq!(index.take_due(99), None);
        assert_eq!(index.wants_page(), Some(((0, 0), MAX_ENTRIES)));
        index.add_page([(10, 1)], Some((10, 1)), false);
        index.insert_stored((11, 2), Bytes::new());
        assert_eq!(index.take_due(99).map(|(key, _)| key), Some((10, 1)));
        assert_eq!(index.take_due(99), None);
    }

    #[test]
    fn memory_stays_bounded_however_many_messages_wait() {
        let mut index = complete_index();
        let body = Bytes::from(vec![0; 4_096]);
        for number in 0..200_000 {
            index.insert_stored((1, number), body.clone());
        }
        assert!(index.entries.len() <= MAX_ENTRIES);
        assert!(index.body_bytes <= MAX_BODY_BYTES);
        let kept: usize = index
            .entries
            .values()
            .filter_map(|waiting| waiting.body.as_ref())
            .map(Bytes::len)
            .sum();
        assert_eq!(index.body_bytes, kept);
    }

    proptest! {
        /// With a simulated disk and pages loaded on demand, every message leaves exactly once and
        /// never early.
        #[test]
        fn nothing_is_lost_or_duplicated_between_memory_and_disk(
            steps in prop::collection::vec((0..4_u8, 0..50_u64), 1..300),
            page_size in 1..5_usize,
        ) {
            let (mut index, mut disk, mut taken) =
                (QueueIndex::default(), BTreeSet::new(), BTreeSet::new());
            let (mut number, mut delivered) = (0, Vec::new());
            let load = |index: &mut QueueIndex, disk: &BTreeSet<MessageKey>, taken: &BTreeSet<MessageKey>| {
                if let Some((after, _)) = index.wants_page() {
                    let read: Vec<MessageKey> =
                        disk.iter().filter(|key| **key > after).take(page_size).copied().collect();
                    let is_last_page = read.len() < page_size;
                    let last = read.last().copied();
                    let keys = read.into_iter().filter(|key| !taken.contains(key));
                    index.add_page(keys, last, is_last_page);
                }
            };
            for (step, due) in steps {
                match step {
                    0 | 1 => {
                        number += 1;
                        disk.insert((due, number));
                        index.insert_stored((due, number), Bytes::new());
                    }
                    2 => load(&mut index, &disk, &taken),
                    _ => if let Some((key, _)) = index.take_due(due) {
                        prop_assert!(key.0 <= due);
                        prop_assert!(taken.insert(key), "taken twice: {key:?}");
                        if key.1 % 3 == 0 {
                            taken.remove(&key);
                            index.put_back(key, true);
                        } else {
                            taken.remove(&key);
                            disk.remove(&key);
                            delivered.push(key);
                        }
                    },
                }
                if step == 3 && number % 7 == 0 {
                    index.evict_far_half();
                }
            }
            // In the end every message is due.
            for _ in 0..10_000 {
                if let Some((key, _)) = index.take_due(u64::MAX) {
                    disk.remove(&key);
                    delivered.push(key);
                } else if index.wants_page().is_some() {
                    load(&mut index, &disk, &taken);
                } else {
                    break;
                }
            }
            prop_assert!(disk.is_empty(), "lost: {disk:?}");
            let unique: BTreeSet<MessageKey> = delivered.iter().copied().collect();
            prop_assert_eq!(unique.len(), delivered.len());
            prop_assert_eq!(delivered.len(), usize::try_from(number).unwrap());
        }
    }
}
