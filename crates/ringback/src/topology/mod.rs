//! Compares RabbitMQ with the expected topology.
//!
//! - `compare.rs`: the differences, as sentences
//! - `management.rs`: reads the objects of a running broker from its management API

mod compare;
mod management;

use admin::cli::stdout::print_line;
use admin::doctor::NodeFacts;
use broker::BrokerConfig;
use broker::rabbitmq::{BrokerTls, Topology, split_urls};
use percent_encoding::percent_decode_str;
use runtime::ConfigError;
use secrecy::ExposeSecret;
use url::Url;

use crate::app::broker::tls;
use crate::error::CommandError;

/// The virtual host of a broker's URL that names none.
const DEFAULT_VHOST: &str = "/";

/// RabbitMQ's default user, and that of an AMQP URL without a user.
const DEFAULT_USER: &str = "guest:guest";

/// The topology as the text of a `definitions.json`, without a final newline.
pub(crate) fn definitions(prefix: &str, vhost: &str) -> String {
    let definitions = Topology::new(prefix).definitions(vhost);
    format!("{definitions:#}")
}

/// The management API of a running broker, and the virtual host to compare.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ManagementApi {
    vhost: String,
    url: Url,
    tls: BrokerTls,
}

impl ManagementApi {
    /// From the command line, or else from `broker.url`.
    ///
    /// # Errors
    /// When neither names the management API.
    pub(crate) fn find(
        vhost: Option<String>,
        management: Option<Url>,
        config: &BrokerConfig,
    ) -> Result<Self, CommandError> {
        let vhost = vhost.unwrap_or_else(|| vhost_of(config));
        let url = management.or_else(|| management_of(config));
        let url = url.ok_or_else(|| {
            let reason = "it is not set; set it, or name the API with --management URL";
            ConfigError::refused("broker.url", reason)
        })?;
        Ok(Self {
            vhost,
            url,
            tls: tls(config),
        })
    }
}

impl ManagementApi {
    /// Descriptors, memory, disk and alarms of each node.
    ///
    /// # Errors
    /// No answer, or one that is not a list.
    pub(crate) async fn nodes(&self) -> Result<Vec<NodeFacts>, CommandError> {
        management::nodes(&self.url, &self.tls).await
    }
}

/// The URL of the first node.
fn broker_url(config: &BrokerConfig) -> Option<Url> {
    let urls = config.url.as_ref()?.expose_secret();
    Url::parse(split_urls(urls).next()?).ok()
}

/// The virtual host that `broker.url` names, or else `/`.
pub(crate) fn vhost_of(config: &BrokerConfig) -> String {
    let path = broker_url(config).and_then(|url| {
        let path = url.path().strip_prefix('/')?;
        Some(percent_decode_str(path).decode_utf8_lossy().into_owned())
    });
    path.unwrap_or_else(|| DEFAULT_VHOST.to_owned())
}

/// The management API on the broker's own host, with its user and password.
fn management_of(config: &BrokerConfig) -> Option<Url> {
    let url = broker_url(config)?;
    let (scheme, port) = match url.scheme() {
        "amqps" => ("https", 15671),
        _ => ("http", 15672),
    };
    // Both parts are percent-encoded already.
    let user = match (url.username(), url.password()) {
        ("", None) => DEFAULT_USER.to_owned(),
        (name, password) => format!("{name}:{}", password.unwrap_or_default()),
    };
    Url::parse(&format!("{scheme}://{user}@{}:{port}/", url.host_str()?)).ok()
}

/// Prints one line for each difference, then whether there is none.
///
/// # Errors
/// The API does not answer, or the broker differs from the expected topology.
pub(crate) async fn check(prefix: &str, api: &ManagementApi) -> Result<(), CommandError> {
    let wanted = Topology::new(prefix).definitions(&api.vhost);
    let found = management::read(&api.url, &api.vhost, &api.tls).await?;
    let compare::Findings { faults, warnings } = compare::compare(&wanted, &found);
    for fault in &faults {
        print_line(fault)?;
    }
    for warning in &warnings {
        print_line(&format!("warning: {warning}"))?;
    }
    match faults.len() {
        0 => Ok(print_line("the topology is as it should be")?),
        1 => Err(CommandError::Failed("the topology has 1 fault".to_owned())),
        count => Err(CommandError::Failed(format!(
            "the topology has {count} faults"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn config(url: &str) -> BrokerConfig {
        BrokerConfig {
            url: Some(url.into()),
            ..BrokerConfig::default()
        }
    }

    #[test]
    fn the_committed_definitions_are_what_is_printed() {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rabbitmq/definitions.json");
        let again = "cargo run -p ringback -- topology > deploy/rabbitmq/definitions.json";
        let committed = fs::read_to_string(file).unwrap_or_default();
        let printed = definitions(&BrokerConfig::default().prefix, DEFAULT_VHOST) + "\n";
        assert!(
            committed == printed,
            "it has changed; generate it again: {again}"
        );
    }

    #[test]
    fn virtual_host_and_management_api_follow_from_the_broker_url() {
        for (url, vhost, management) in [
            ("amqp://h", "/", "http://guest:guest@h:15672/"),
            ("amqp://a:b%40c@h:5673/%2f", "/", "http://a:b%40c@h:15672/"),
            ("amqps://a:b@h/prod%2Feu", "prod/eu", "https://a:b@h:15671/"),
            ("amqp://a:b@[::1]:1/v", "v", "http://a:b@[::1]:15672/"),
        ] {
            let api = ManagementApi::find(None, None, &config(url)).unwrap();
            assert_eq!(api.vhost, vhost, "{url}");
            assert_eq!(api.url.as_str(), management, "{url}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_broker_url() {
        let url: Url = "https://x:y@console/rabbit".parse().unwrap();
        let api = ManagementApi::find(
            Some("w".to_owned()),
            Some(url.clone()),
            &config("amqp://h/v"),
        );
        let expected = ManagementApi {
            vhost: "w".to_owned(),
            url,
            tls: BrokerTls::default(),
        };
        assert_eq!(api.unwrap(), expected);
    }

    #[test]
    fn without_an_address_the_sentence_says_what_to_set() {
        let error = ManagementApi::find(None, None, &BrokerConfig::default()).unwrap_err();
        let sentence = error.sentence();
        for word in ["RINGBACK__BROKER__URL", "--management"] {
            assert!(sentence.contains(word), "{sentence}");
        }
    }
}
