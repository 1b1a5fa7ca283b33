//! The settings section `broker`.

use crate::rabbitmq::split_urls;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

const MASK: &str = "***";
/// A shorter timeout is probably a wrong unit.
const MIN_PUBLISH_TIMEOUT: Duration = Duration::from_millis(10);
const MAX_PUBLISH_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_PUBLISH_CHANNELS: u16 = 8;
const MAX_PREFIX_BYTES: usize = 40;
const MAX_NODES: usize = 16;

/// How to reach the broker: RabbitMQ at `url`, or the embedded store in `data_dir`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerConfig {
    /// RabbitMQ's URL, for instance `amqp://user:password@host:5672/%2f`; several nodes of one
    /// cluster are separated by commas.
    #[serde(serialize_with = "masked_url")]
    pub url: Option<SecretString>,
    /// The directory of the embedded store, for a process that needs no RabbitMQ. Excludes `url`.
    pub data_dir: Option<PathBuf>,
    /// The embedded store refuses new callbacks while fewer bytes are free on its disk. 0: never.
    pub min_free_bytes: u64,
    /// PEM: the only roots trusted for the broker's certificate (`amqps://`). Unset: the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM: the client certificate, with its chain, for a broker that requests one.
    pub cert_file: Option<PathBuf>,
    /// PEM: the private key of that certificate.
    pub key_file: Option<PathBuf>,
    /// The prefix of all names in the broker: 1 to 40 of `a-z`, `0-9`, `.`, `_`, `-`.
    pub prefix: String,
    /// Whether the process declares its exchanges and queues, or only checks that they exist.
    pub declare: bool,
    /// How long a publish may wait for the broker's confirm.
    #[serde(with = "humantime_serde")]
    pub publish_timeout: Duration,
    /// How many confirm channels publish in parallel.
    pub publish_channels: u16,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            url: None,
            data_dir: None,
            min_free_bytes: 256 * 1024 * 1024,
            ca_file: None,
            cert_file: None,
            key_file: None,
            prefix: "ringback".to_owned(),
            declare: true,
            publish_timeout: Duration::from_secs(5),
            publish_channels: 2,
        }
    }
}

impl BrokerConfig {
    /// Reports each bad value with its key within the section.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        if let Some(url) = &self.url {
            match parse_nodes(url.expose_secret()) {
                Ok(url) => self.validate_tls(&url, report),
                Err(reason) => report("url", reason.to_owned()),
            }
            if self.data_dir.is_some() {
                let reason = "it is for the embedded store, but broker.url names a RabbitMQ (set one of them)";
                report("data_dir", reason.to_owned());
            }
        }
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let prefix = &self.prefix;
        if !(1..=MAX_PREFIX_BYTES).contains(&prefix.len()) || !prefix.bytes().all(allowed) {
            let reason = format!(
                "{prefix:?} is not 1 to {MAX_PREFIX_BYTES} of a-z, 0-9, \".\", \"_\", \"-\""
            );
            report("prefix", reason);
        }
        let timeouts = MIN_PUBLISH_TIMEOUT..=MAX_PUBLISH_TIMEOUT;
        if !timeouts.contains(&self.publish_timeout) {
            let [value, min, max] = [self.publish_timeout, *timeouts.start(), *timeouts.end()]
                .map(humantime::format_duration);
            report(
                "publish_timeout",
                format!("{value} is not between {min} and {max}"),
            );
        }
        if !(1..=MAX_PUBLISH_CHANNELS).contains(&self.publish_channels) {
            let channels = self.publish_channels;
            report(
                "publish_channels",
                format!("{channels} is not between 1 and {MAX_PUBLISH_CHANNELS}"),
            );
        }
    }

    /// Refuses TLS files with a URL without TLS: the connection would only look protected.
    fn validate_tls(&self, url: &Url, report: &mut dyn FnMut(&str, String)) {
        let files = [
            ("ca_file", &self.ca_file),
            ("cert_file", &self.cert_file),
            ("key_file", &self.key_file),
        ];
        if url.scheme() == "amqp"
            && let Some((key, _)) = files.iter().find(|(_, file)| file.is_some())
        {
            let reason = "it is for TLS, but broker.url begins with amqp:// (write amqps://)";
            report(key, reason.to_owned());
        } else if self.cert_file.is_some() != self.key_file.is_some() {
            let reason = "cert_file and key_file go together: set both, or none";
            report("cert_file", reason.to_owned());
        }
    }
}

/// Refuses URLs that cannot be those of the nodes of one cluster; returns the first.
fn parse_nodes(text: &str) -> Result<Url, &'static str> {
    let nodes: Vec<Url> = split_urls(text)
        .map(parse_amqp_url)
        .collect::<Result<_, _>>()?;
    let same = |of: fn(&Url) -> &str| nodes.iter().all(|url| of(url) == of(&nodes[0]));
    if nodes.len() > MAX_NODES {
        return Err("it names more than 16 nodes");
    }
    if !same(Url::scheme) {
        return Err("its nodes must all begin with amqp://, or all with amqps://");
    }
    if !same(Url::path) {
        return Err("its nodes must all name the same virtual host");
    }
    nodes.into_iter().next().ok_or("it is empty")
}

/// Refuses a URL that the AMQP client cannot use, or whose password could not be masked.
fn parse_amqp_url(text: &str) -> Result<Url, &'static str> {
    let not_a_url = "it is not a broker's URL (write amqp://user:password@host:5672/%2f)";
    let url = Url::parse(text).map_err(|_| not_a_url)?;
    let unusable = |host: &str| host.is_empty() || host.contains(',');
    if !matches!(url.scheme(), "amqp" | "amqps") || url.host_str().is_none_or(unusable) {
        return Err(not_a_url);
    }
    // A raw `/`, `?` or `#` ends the password early, and the rest would be shown as a path.
    let rest = [Some(url.path()), url.query()];
    if url.fragment().is_some() || rest.into_iter().flatten().any(|part| part.contains('@')) {
        return Err("percent-encode the special characters of its password (# is %23, / is %2F)");
    }
    Ok(url)
}

/// The query string of an AMQP URL holds heartbeats and the like, and stays visible.
fn masked_url<S: Serializer>(url: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    let masked = |url: &SecretString| {
        let urls: Vec<String> = split_urls(url.expose_secret()).map(mask).collect();
        urls.join(",")
    };
    url.as_ref().map(masked).serialize(to)
}

fn mask(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return MASK.to_owned();
    };
    // Only a URL that cannot hold a password refuses to have it replaced.
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(change: impl FnOnce(&mut BrokerConfig)) -> Vec<String> {
        let mut config = BrokerConfig::default();
        change(&mut config);
        let mut refusals = Vec::new();
        config.validate(&mut |key, reason| refusals.push(format!("{key}: {reason}")));
        refusals
    }

    fn url(text: &str) -> Option<SecretString> {
        Some(text.to_owned().into())
    }

    #[test]
    fn defaults_and_usual_values_are_valid() {
        assert_eq!(refusals(|_| {}), [""; 0]);
        let good = refusals(|config| {
            config.url = url("amqps://user:p%40ss@broker.example:5671/%2f?heartbeat=10");
            config.ca_file = Some("/ca.pem".into());
            config.prefix = "shop-1.eu_2".to_owned();
            config.publish_timeout = Duration::from_secs(60);
            config.publish_channels = 8;
        });
        assert_eq!(good, [""; 0]);
    }

    #[test]
    fn several_nodes_are_those_of_one_cluster() {
        let cluster = "amqp://u:p@a:5672/v,amqp://u:p@b:5673/v";
        assert_eq!(refusals(|config| config.url = url(cluster)), [""; 0]);
        for (text, reason) in [
            ("amqp://a/v,amqps://b/v", "all with amqps://"),
            ("amqp://a/v,amqp://b/w", "the same virtual host"),
            ("amqp://a,http://b", "it is not a broker's URL"),
            (&"amqp://a,".repeat(17), "it is not a broker's URL"),
            (&["amqp://a"; 17].join(","), "more than 16 nodes"),
        ] {
            let found = refusals(|config| config.url = url(text));
            assert!(found.len() == 1 && found[0].contains(reason), "{found:?}");
        }
        let config = BrokerConfig {
            url: url("amqp://u:secret@a,amqp://u:secret@b"),
            ..BrokerConfig::default()
        };
        let shown = serde_json::to_string(&config).unwrap();
        assert!(shown.contains("amqp://u:***@a,amqp://u:***@b"), "{shown}");
    }

    #[test]
    fn every_bad_value_is_reported_with_its_key() {
        let not_a_url = "url: it is not a broker's URL (write amqp://user:password@host:5672/%2f)";
        for text in ["http://host", "amqp://", "host:5672", ""] {
            assert_eq!(
                refusals(|config| config.url = url(text)),
                [not_a_url],
                "{text}"
            );
        }
        for text in [
            "amqp://a:b/c@host",
            "amqp://a:b?c@host",
            "amqp://a:b#c@host",
        ] {
            let found = refusals(|config| config.url = url(text));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(!found[0].contains(":b"), "{found:?}");
        }
        let prefix = "ringback ".to_owned();
        assert_eq!(
            refusals(|config| {
                config.url = url("amqp://host");
                config.data_dir = Some("/data".into());
                config.prefix = prefix;
                config.publish_timeout = Duration::from_millis(5);
                config.publish_channels = 9;
            }),
            [
                "data_dir: it is for the embedded store, but broker.url names a RabbitMQ (set one of them)",
                "prefix: \"ringback \" is not 1 to 40 of a-z, 0-9, \".\", \"_\", \"-\"",
                "publish_timeout: 5ms is not between 10ms and 1m",
                "publish_channels: 9 is not between 1 and 8",
            ]
        );
    }

    #[test]
    fn tls_files_need_tls_and_a_certificate_needs_its_key() {
        let plain = refusals(|config| {
            config.url = url("amqp://host");
            config.key_file = Some("/key.pem".into());
        });
        let reason = "it is for TLS, but broker.url begins with amqp:// (write amqps://)";
        assert_eq!(plain, [format!("key_file: {reason}")]);
        let half = refusals(|config| {
            config.url = url("amqps://host");
            config.key_file = Some("/key.pem".into());
        });
        let reason = "cert_file and key_file go together: set both, or none";
        assert_eq!(half, [format!("cert_file: {reason}")]);
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = BrokerConfig {
            url: url("amqp://user:secret@host/v?heartbeat=5"),
            ..BrokerConfig::default()
        };
        let shown = serde_json::to_string(&config).unwrap();
        assert!(
            shown.contains("amqp://user:***@host/v?heartbeat=5"),
            "{shown}"
        );
        assert!(shown.contains("\"publish_timeout\":\"5s\""), "{shown}");
        assert!(!shown.contains("secret") && !format!("{config:?}").contains("secret"));
        let unusable = BrokerConfig {
            url: url("secret"),
            ..BrokerConfig::default()
        };
        assert!(!serde_json::to_string(&unusable).unwrap().contains("secret"));
    }
}
