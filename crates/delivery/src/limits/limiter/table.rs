//! Entries by key, at an index that stays the same while they are in use; bounded.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// What a table holds.
pub(super) trait Entry {
    /// What it is found by.
    type Key: Hash + Eq + Clone;

    fn key(&self) -> &Self::Key;

    /// `None`: it is in use. Otherwise its rank: the lowest are evicted first.
    fn eviction_rank(&self, now: Duration) -> Option<(bool, Duration)>;
}

/// Bounded: beyond `max`, entries that are not in use are evicted.
#[derive(Debug)]
pub(super) struct Table<V: Entry> {
    /// By index; `None` is free.
    entries: Vec<Option<V>>,
    free: Vec<u32>,
    by_key: HashMap<V::Key, u32>,
    max: usize,
}

impl<V: Entry> Table<V> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            max: max.max(1),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn get(&self, index: u32) -> Option<&V> {
        self.entries.get(usize::try_from(index).ok()?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut V> {
        self.entries.get_mut(usize::try_from(index).ok()?)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut V)> {
        let indexed = (0..).zip(&mut self.entries);
        indexed.filter_map(|(index, entry)| Some((index, entry.as_mut()?)))
    }

    /// The index of the entry with this key, which is made if there is none. `evicted` gets what
    /// makes room for it.
    pub(super) fn find_or_insert<Q>(
        &mut self,
        key: &Q,
        new: impl FnOnce() -> V,
        evicted: impl FnMut(V),
        now: Duration,
    ) -> u32
    where
        V::Key: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(index) = self.by_key.get(key) {
            return *index;
        }
        if self.by_key.len() >= self.max {
            self.evict(evicted, now);
        }
        let entry = new();
        let key = entry.key().clone();
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            // Bounded by `max` and the messages in memory: far below 2^32.
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let place = usize::try_from(index).ok();
        if let Some(place) = place.and_then(|place| self.entries.get_mut(place)) {
            *place = Some(entry);
        }
        self.by_key.insert(key, index);
        index
    }

    /// Evicts a tenth, so that the search is rare.
    fn evict(&mut self, mut evicted: impl FnMut(V), now: Duration) {
        let ranked = (0..).zip(&self.entries);
        let ranked = ranked.filter_map(|(index, entry)| {
            let rank = entry.as_ref()?.eviction_rank(now)?;
            Some((rank, index))
        });
        let mut ranked: Vec<((bool, Duration), u32)> = ranked.collect();
        let count = (self.max / 10).max(1).min(ranked.len());
        if count < ranked.len() {
            ranked.select_nth_unstable(count);
        }
        for (_, index) in ranked.into_iter().take(count) {
            let place = usize::try_from(index).ok();
            let entry = place.and_then(|place| self.entries.get_mut(place)?.take());
            if let Some(entry) = entry {
                self.by_key.remove(entry.key());
                self.free.push(index);
                evicted(entry);
            }
        }
    }
}
