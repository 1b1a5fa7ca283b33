//! A metric with one label, recorded without a lookup on the hot path.

use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Metric, Registry};

use super::registry::{add, add_seconds};
use super::time_histogram::TimeHistogram;

/// A metric with one label. Known values need no lock; others take a read lock.
#[derive(Debug)]
pub struct Labeled<M> {
    label: &'static str,
    known: Vec<(&'static str, M)>,
    family: Family<[(&'static str, &'static str); 1], M>,
}

impl<M: Default + Clone> Labeled<M>
where
    Family<[(&'static str, &'static str); 1], M>: Metric,
{
    /// Registers the metric, with a series at zero for each known value.
    pub fn register(
        registry: &mut Registry,
        name: &str,
        help: &str,
        label: &'static str,
        known: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let family = add(registry, name, help, Family::default());
        Self::with_known(family, label, known)
    }
}

impl Labeled<TimeHistogram> {
    /// Registers a histogram in seconds, with empty series for each known value.
    pub fn register_seconds(
        registry: &mut Registry,
        name: &str,
        help: &str,
        label: &'static str,
        known: impl IntoIterator<Item = &'static str>,
        make: fn() -> TimeHistogram,
    ) -> Self {
        let family = Family::new_with_constructor(make);
        let family = add_seconds(registry, name, help, family);
        Self::with_known(family, label, known)
    }
}

impl<M: Clone> Labeled<M> {
    fn with_known(
        family: Family<[(&'static str, &'static str); 1], M>,
        label: &'static str,
        known: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let series = |value: &'static str| {
            let series = family.get_or_create_owned(&[(label, value)]);
            (value, series)
        };
        Self {
            label,
            known: known.into_iter().map(series).collect(),
            family,
        }
    }

    /// Records into the series with this value.
    pub fn with<T>(&self, value: &'static str, record: impl FnOnce(&M) -> T) {
        match self.known.iter().find(|(known, _)| *known == value) {
            Some((_, series)) => record(series),
            None => record(&self.family.get_or_create(&[(self.label, value)])),
        };
    }
}
