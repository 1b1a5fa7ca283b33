//! Where spans are sent, and of which share of callbacks (`telemetry.otlp`).

use serde::{Deserialize, Serialize};
use url::Url;

/// What a process tells of itself besides its log and its metrics (`telemetry`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Traces.
    pub otlp: OtlpConfig,
}

/// Traces by OTLP over HTTP (`telemetry.otlp`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// The collector: `http://collector:4318`. A URL without a path gets `/v1/traces`. `None`: no
    /// traces.
    pub endpoint: Option<Url>,
    /// The share of callbacks that are traced, where the caller has not decided: 0 to 1.
    pub ratio: f64,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            ratio: 0.01,
        }
    }
}

impl TelemetryConfig {
    /// Reports each bad value: its key within the section, and the reason.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        let OtlpConfig { endpoint, ratio } = &self.otlp;
        if let Some(reason) = endpoint.as_ref().and_then(endpoint_fault) {
            report("otlp.endpoint", reason.to_owned());
        }
        if !(0.0..=1.0).contains(ratio) {
            report("otlp.ratio", format!("{ratio} is not between 0 and 1"));
        }
    }
}

fn endpoint_fault(endpoint: &Url) -> Option<&'static str> {
    if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host().is_none() {
        return Some("write http://HOST:PORT or https://HOST:PORT");
    }
    // It is logged and shown.
    let has_password = !endpoint.username().is_empty() || endpoint.password().is_some();
    let secret = has_password || endpoint.query().is_some() || endpoint.fragment().is_some();
    secret.then_some("a URL with a password or a query is not supported here")
}

/// Where the spans are posted.
pub(super) fn traces_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(endpoint: &str, ratio: f64) -> Vec<(String, String)> {
        let endpoint = Some(endpoint.parse().unwrap());
        let config = TelemetryConfig {
            otlp: OtlpConfig { endpoint, ratio },
        };
        let mut faults = Vec::new();
        config.validate(&mut |key, reason| faults.push((key.to_owned(), reason)));
        faults
    }

    #[test]
    fn an_endpoint_is_an_http_url_without_secrets_and_a_ratio_is_a_share() {
        assert_eq!(faults("http://127.0.0.1:4318", 0.0), []);
        assert_eq!(faults("https://collector/otlp/v1/traces", 1.0), []);
        for (endpoint, ratio, key) in [
            ("ftp://collector", 0.5, "otlp.endpoint"),
            ("http://u:p@collector", 0.5, "otlp.endpoint"),
            ("http://collector/?api-key=x", 0.5, "otlp.endpoint"),
            ("http://collector", 1.5, "otlp.ratio"),
            ("http://collector", -0.1, "otlp.ratio"),
            ("http://collector", f64::NAN, "otlp.ratio"),
        ] {
            let faults = faults(endpoint, ratio);
            let keys: Vec<&str> = faults.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys, [key], "{endpoint} {ratio}");
        }
    }

    #[test]
    fn an_endpoint_without_a_path_gets_the_usual_one() {
        for (endpoint, url) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("http://c/otlp", "http://c/otlp"),
        ] {
            assert_eq!(traces_url(&endpoint.parse().unwrap()).as_str(), url);
        }
    }
}
