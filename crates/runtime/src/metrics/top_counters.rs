//! Counters with a label whose values are names that strangers choose: the busiest names have series of
//! their own, the rest is counted together.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

/// How many names have series of their own.
const MAX_NAMED: usize = 50;

/// How many of the others are counted apart, to find the busiest.
const MAX_CANDIDATES: usize = 1_000;

/// How many names may lose their series to others at one choice: strangers choose the names, and each
/// change begins a series.
const MAX_REPLACED: usize = 2;

/// So many times the count of a name with series, plus one, a name without must have to replace it.
const REPLACES: u64 = 2;

/// The name of all others together.
const OTHER: &str = "other";

/// Counters by name and result. Cheap to clone.
///
/// Counting takes no lock for names with series. A name is counted under it from the moment it gets
/// its series, so a series never decreases; it only ends.
#[derive(Clone, Debug)]
pub struct TopCounters(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    metric: &'static str,
    help: &'static str,
    /// The labels of the name and of the result.
    labels: [&'static str; 2],
    results: &'static [&'static str],
    named: ArcSwap<Named>,
    others: Counts,
    /// How often each of the others was counted since the last choice. Held by whoever changes `named`.
    candidates: Mutex<HashMap<String, u64>>,
}

type Named = BTreeMap<String, Arc<Counts>>;

#[derive(Debug)]
struct Counts {
    /// In the order of the results.
    by_result: Vec<AtomicU64>,
    /// The sum at the last choice.
    chosen_at: AtomicU64,
}

impl TopCounters {
    /// Registers the counters.
    pub fn register(
        registry: &mut Registry,
        metric: &'static str,
        help: &'static str,
        labels: [&'static str; 2],
        results: &'static [&'static str],
    ) -> Self {
        let this = Self(Arc::new(Shared {
            metric,
            help,
            labels,
            results,
            named: ArcSwap::default(),
            others: Counts::new(results),
            candidates: Mutex::default(),
        }));
        registry.register_collector(Box::new(this.clone()));
        this
    }

    /// Counts this result of this name. `result`: its position among the results.
    pub fn add(&self, name: &str, result: usize) {
        let named = self.0.named.load();
        if let Some(counts) = named.get(name) {
            counts.add(result);
            return;
        }
        let has_room = named.len() < MAX_NAMED && name != OTHER;
        if let Some(counts) = has_room.then(|| self.name_at_once(name)).flatten() {
            counts.add(result);
            return;
        }
        self.0.others.add(result);
        // Who finds it locked goes on: a missing count changes only which names are the busiest.
        if let Ok(mut candidates) = self.0.candidates.try_lock() {
            if let Some(count) = candidates.get_mut(name) {
                *count += 1;
            } else if candidates.len() < MAX_CANDIDATES && name != OTHER {
                candidates.insert(name.to_owned(), 1);
            }
        }
    }

    /// Gives series to the names that were counted most since the last choice. Call it every few
    /// seconds.
    pub fn choose(&self) {
        let mut candidates = self.candidates();
        let named = self.0.named.load_full();
        let mut all: Vec<(u64, bool, String, Arc<Counts>)> = Vec::new();
        for (name, counts) in named.iter() {
            all.push((
                counts.since_choice(),
                true,
                name.clone(),
                Arc::clone(counts),
            ));
        }
        if candidates.is_empty() {
            return;
        }
        for (name, count) in candidates.drain() {
            all.push((count, false, name, Arc::new(Counts::new(self.0.results))));
        }
        // The busiest first; of equals, by name.
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.2.cmp(&b.2)));
        let (mut kept, mut others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.1);
        let room = MAX_NAMED.saturating_sub(kept.len()).min(others.len());
        let filled: Vec<_> = others.drain(..room).collect();
        for other in others.into_iter().take(MAX_REPLACED) {
            match kept.last() {
                Some(weakest) if other.0 > REPLACES * weakest.0 + 1 => drop(kept.pop()),
                _ => break,
            }
            kept.insert(0, other); // Not the next to go.
        }
        let chosen = kept.into_iter().chain(filled);
        let chosen = chosen.map(|(_, _, name, counts)| (name, counts));
        self.0.named.store(Arc::new(chosen.collect()));
    }

    /// `None`: there is no room any more.
    fn name_at_once(&self, name: &str) -> Option<Arc<Counts>> {
        let _changing = self.candidates();
        let mut named = Named::clone(&self.0.named.load());
        if let Some(counts) = named.get(name) {
            return Some(Arc::clone(counts));
        }
        if named.len() >= MAX_NAMED {
            return None;
        }
        let counts = Arc::new(Counts::new(self.0.results));
        named.insert(name.to_owned(), Arc::clone(&counts));
        self.0.named.store(Arc::new(named));
        Some(counts)
    }

    fn candidates(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0
            .candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn new(results: &[&str]) -> Self {
        Self {
            by_result: results.iter().map(|_| AtomicU64::default()).collect(),
            chosen_at: AtomicU64::default(),
        }
    }

    fn add(&self, result: usize) {
        if let Some(count) = self.by_result.get(result) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn since_choice(&self) -> u64 {
        let counts = self.by_result.iter();
        let sum = counts.map(|count| count.load(Ordering::Relaxed)).sum();
        sum - self.chosen_at.swap(sum, Ordering::Relaxed).min(sum)
    }
}

impl Collector for TopCounters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Shared {
            metric,
            help,
            labels: [name_label, result_label],
            results,
            ..
        } = &*self.0;
        let mut family = encoder.encode_descriptor(metric, help, None, MetricType::Counter)?;
        let named = self.0.named.load_full();
        let all = named.iter().map(|(name, counts)| (&**name, &**counts));
        for (name, counts) in all.chain([(OTHER, &self.0.others)]) {
            for (result, count) in results.iter().zip(&counts.by_result) {
                let labels = [(*name_label, name), (*result_label, *result)];
                let count = count.load(Ordering::Relaxed);
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricsRegistry;

    const RESULTS: [&str; 2] = ["good", "bad"];

    fn counters() -> (MetricsRegistry, TopCounters) {
        let registry = MetricsRegistry::new();
        let register = |registry: &mut _| {
            TopCounters::register(registry, "n", "N", ["app", "result"], &RESULTS)
        };
        let counters = registry.add(register);
        (registry, counters)
    }

    fn value(registry: &MetricsRegistry, app: &str, result: &str) -> Option<u64> {
        let begin = format!("ringback_n_total{{app=\"{app}\",result=\"{result}\"}} ");
        let page = registry.encode();
        let value = page.lines().find_map(|line| line.strip_prefix(&begin));
        value.map(|value| value.parse().unwrap())
    }

    #[test]
    fn while_there_is_room_a_name_is_counted_under_it_from_the_first_time() {
        let (registry, counters) = counters();
        assert_eq!(value(&registry, OTHER, "bad"), Some(0));
        counters.add("crm", 1);
        counters.add("crm", 1);
        counters.add("a\"b", 0);
        assert_eq!(value(&registry, "crm", "bad"), Some(2));
        assert_eq!(value(&registry, "crm", "good"), Some(0));
        assert_eq!(value(&registry, "a\\\"b", "good"), Some(1));
        counters.choose();
        assert_eq!(value(&registry, "crm", "bad"), Some(2));
    }

    #[test]
    fn the_number_of_series_is_bounded_whatever_strangers_name() {
        let (registry, counters) = counters();
        for round in 0..3 {
            for number in 0..5_000 {
                counters.add(&format!("{round}-{number}"), 0);
            }
            counters.choose();
            let series = registry.encode().matches("ringback_n_total{").count();
            assert_eq!(series, (MAX_NAMED + 1) * RESULTS.len());
            assert!(counters.candidates().len() <= MAX_CANDIDATES);
        }
        assert_eq!(value(&registry, OTHER, "good"), Some(15_000 - 50));
    }

    #[test]
    fn the_busiest_get_series_and_no_series_decreases() {
        let (registry, counters) = counters();
        for number in 0..MAX_NAMED {
            counters.add(&number.to_string(), 0);
        }
        counters.choose();
        // One of them goes on.
        counters.add("7", 0);
        counters.add("late", 0);
        counters.add("late", 0);
        let others = value(&registry, OTHER, "good");
        assert_eq!((others, value(&registry, "late", "good")), (Some(2), None));
        counters.choose();
        assert_eq!(value(&registry, "late", "good"), Some(0), "from now on");
        counters.add("late", 0);
        assert_eq!(value(&registry, "late", "good"), Some(1));
        assert_eq!(value(&registry, "7", "good"), Some(2));
        assert_eq!(value(&registry, OTHER, "good"), Some(2));
        let series = registry.encode().matches("ringback_n_total{").count();
        assert_eq!(series, (MAX_NAMED + 1) * RESULTS.len());
    }

    #[test]
    fn few_names_lose_their_series_at_once_whatever_strangers_name() {
        let (_, counters) = counters();
        for number in 0..MAX_NAMED {
            counters.add(&format!("real-{number}"), 0);
        }
        counters.choose();
        for round in 1..=3 {
            for _ in 0..5 {
                for number in 0..200 {
                    counters.add(&format!("{round}-{number}"), 0);
                }
            }
            counters.choose();
            let named = counters.0.named.load();
            let real = named.keys().filter(|name| name.starts_with("real-"));
            assert_eq!(real.count(), MAX_NAMED - round * MAX_REPLACED);
        }
    }

    #[test]
    fn a_name_that_is_the_word_for_the_others_is_one_of_them() {
        let (registry, counters) = counters();
        counters.add(OTHER, 0);
        assert_eq!(value(&registry, OTHER, "good"), Some(1));
        counters.choose();
        let page = registry.encode();
        assert_eq!(
            page.matches("app=\"other\",result=\"good\"").count(),
            1,
            "{page}"
        );
    }
}
