//! How is a metric with one label recorded without a look-up on the hot path?

use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Metric, Registry};

/// A metric with one label. Known values have their child at hand; others take a read lock.
pub(super) struct ByLabel<M> {
    label: &'static str,
    known: Vec<(&'static str, M)>,
    family: Family<[(&'static str, &'static str); 1], M>,
}

impl<M: Default + Clone> ByLabel<M>
where
    Family<[(&'static str, &'static str); 1], M>: Metric,
{
    /// Registers the metric, with a series at nought for each known value.
    pub(super) fn add(
        all: &mut Registry,
        name: &str,
        help: &str,
        label: &'static str,
        known: &[&'static str],
    ) -> Self {
        let family = super::add(all, name, help, Family::default());
        let child = |value: &&'static str| (*value, family.get_or_create_owned(&[(label, *value)]));
        Self {
            label,
            known: known.iter().map(child).collect(),
            family,
        }
    }

    /// Records something of the series with this value.
    pub(super) fn with<T>(&self, value: &'static str, record: impl FnOnce(&M) -> T) {
        match self.known.iter().find(|(known, _)| *known == value) {
            Some((_, child)) => record(child),
            None => record(&self.family.get_or_create(&[(self.label, value)])),
        };
    }
}
