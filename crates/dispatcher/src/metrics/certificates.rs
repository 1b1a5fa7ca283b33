//! When the certificates of registered callees expire. Only callees' hosts have series, so strangers'
//! URLs make none.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use contract::control::CertificateSeen;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// No more hosts than this are shown: those whose certificates expire first.
pub(super) const MAX_HOSTS: usize = 100;

/// Collects the certificates that were published last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct CertificateCollector(Arc<RwLock<Vec<CertificateSeen>>>);

impl CertificateCollector {
    /// Replaces the certificates. `seen`: those that expire first come first.
    pub(super) fn publish(&self, mut seen: Vec<CertificateSeen>) {
        seen.retain(|certificate| certificate.not_after.is_some());
        seen.truncate(MAX_HOSTS);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

impl Collector for CertificateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(
            "certificate_expiry_timestamp_seconds",
            "When the certificate of a registered callee's host expires, Unix time, as in the last handshake",
            None,
            MetricType::Gauge,
        )?;
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        seen.iter().try_for_each(|certificate| {
            let seconds = certificate.not_after.unwrap_or_default() / 1_000;
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            let labels = [("host", certificate.host.as_str())];
            ConstGauge::new(seconds).encode(metric.encode_family(&labels)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::MetricsRegistry;

    fn seen(host: &str, not_after: Option<u64>) -> CertificateSeen {
        CertificateSeen {
            host: host.to_owned(),
            not_after,
            seen_at: not_after.map(|_| 1),
        }
    }

    #[test]
    fn certificates_that_were_seen_have_series_and_their_number_is_bounded() {
        let registry = MetricsRegistry::new();
        let collector = CertificateCollector::default();
        registry.add(|registry| registry.register_collector(Box::new(collector.clone())));
        let unseen = seen("b.example", None);
        collector.publish(vec![seen("a.example", Some(1_800_000_000_999)), unseen]);
        let line = "ringback_certificate_expiry_timestamp_seconds{host=\"a.example\"} 1800000000\n";
        let page = registry.encode();
        assert!(page.contains(line), "{page}");
        assert!(!page.contains("b.example"), "{page}");
        let many = (0..1_000).map(|number: u32| seen(&number.to_string(), Some(5)));
        collector.publish(many.collect());
        let page = registry.encode();
        assert_eq!(page.matches("seconds{host=").count(), MAX_HOSTS);
    }
}
