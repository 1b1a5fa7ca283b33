//! What must exist in RabbitMQ, and does it?

mod compare;
mod management;

use boot::SettingsError;
use boot::settings::{BrokerSettings, Settings};
use broker::rabbitmq::{Tls, Topology};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use url::Url;

use crate::equipment;
use crate::failure::Failure;
use crate::say::say;

/// The virtual host of a broker's URL that names none.
const USUAL_VHOST: &str = "/";

/// What RabbitMQ lets in on its own machine, and what an AMQP URL without a user means.
const USUAL_USER: &str = "guest:guest";

/// The topology as the text of a `definitions.json`, without the last line's end.
pub(crate) fn definitions(prefix: &str, vhost: &str) -> String {
    let definitions = Topology::new(prefix).definitions(vhost);
    format!("{definitions:#}")
}

/// Where a running broker is asked about a virtual host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    vhost: String,
    management: Url,
    tls: Tls,
}

impl Place {
    /// What is told on the command line, or else what `broker.url` means.
    ///
    /// # Errors
    /// When neither tells where the management API is.
    pub(crate) fn find(
        vhost: Option<String>,
        management: Option<Url>,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let vhost = vhost.unwrap_or_else(|| vhost_of(&settings.broker));
        let management = management.or_else(|| management_of(&settings.broker));
        let management = management.ok_or_else(|| {
            let reason = "it is not set; set it, or name the API with --management URL";
            SettingsError::refused("broker.url", reason)
        })?;
        Ok(Self {
            vhost,
            management,
            tls: equipment::tls(&settings.broker),
        })
    }
}

fn broker_url(settings: &BrokerSettings) -> Option<Url> {
    Url::parse(settings.url.as_ref()?.expose_secret()).ok()
}

/// The virtual host that `broker.url` names, or else `/`.
pub(crate) fn vhost_of(settings: &BrokerSettings) -> String {
    let path = broker_url(settings).and_then(|url| {
        let path = url.path().strip_prefix('/')?;
        Some(percent_decode_str(path).decode_utf8_lossy().into_owned())
    });
    path.unwrap_or_else(|| USUAL_VHOST.to_owned())
}

/// The management API on the broker's own host, with its user and password.
fn management_of(settings: &BrokerSettings) -> Option<Url> {
    let url = broker_url(settings)?;
    let (scheme, port) = match url.scheme() {
        "amqps" => ("https", 15671),
        _ => ("http", 15672),
    };
    // Both parts are percent-encoded already.
    let user = match (url.username(), url.password()) {
        ("", None) => USUAL_USER.to_owned(),
        (name, word) => format!("{name}:{}", word.unwrap_or_default()),
    };
    Url::parse(&format!("{scheme}://{user}@{}:{port}/", url.host_str()?)).ok()
}

/// `ringback topology --check`: one line for each difference, then whether all is well.
///
/// # Errors
/// The API cannot be asked, or the broker lacks something or has it otherwise.
pub(crate) async fn check(prefix: &str, place: &Place) -> Result<(), Failure> {
    let wanted = Topology::new(prefix).definitions(&place.vhost);
    let found = management::read(&place.management, &place.vhost, &place.tls).await?;
    let compare::Findings { faults, warnings } = compare::compare(&wanted, &found);
    for fault in &faults {
        say(fault)?;
    }
    for warning in &warnings {
        say(&format!("warning: {warning}"))?;
    }
    match faults.len() {
        0 => Ok(say("the topology is as it should be")?),
        1 => Err(Failure::Found("the topology has 1 fault".to_owned())),
        count => Err(Failure::Found(format!("the topology has {count} faults"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn settings(url: &str) -> Settings {
        let url = ("RINGBACK__BROKER__URL".to_owned(), url.to_owned());
        Settings::load(None, [url].into_iter()).unwrap()
    }

    #[test]
    fn the_committed_definitions_are_what_is_printed() {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rabbitmq/definitions.json");
        let again = "cargo run -p ringback -- topology > deploy/rabbitmq/definitions.json";
        let committed = fs::read_to_string(file).unwrap_or_default();
        let printed = definitions(&Settings::default().broker.prefix, USUAL_VHOST) + "\n";
        assert!(
            committed == printed,
            "it has changed; generate it anew: {again}"
        );
    }

    #[test]
    fn the_broker_url_tells_virtual_host_and_management_api() {
        for (url, vhost, management) in [
            ("amqp://h", "/", "http://guest:guest@h:15672/"),
            ("amqp://a:b%40c@h:5673/%2f", "/", "http://a:b%40c@h:15672/"),
            ("amqps://a:b@h/prod%2Feu", "prod/eu", "https://a:b@h:15671/"),
            ("amqp://a:b@[::1]:1/v", "v", "http://a:b@[::1]:15672/"),
        ] {
            let place = Place::find(None, None, &settings(url)).unwrap();
            assert_eq!(place.vhost, vhost, "{url}");
            assert_eq!(place.management.as_str(), management, "{url}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_broker_url() {
        let told: Url = "https://x:y@console/rabbit".parse().unwrap();
        let place = Place::find(
            Some("w".to_owned()),
            Some(told.clone()),
            &settings("amqp://h/v"),
        );
        let expected = Place {
            vhost: "w".to_owned(),
            management: told,
            tls: Tls::default(),
        };
        assert_eq!(place.unwrap(), expected);
    }

    #[test]
    fn without_any_address_the_sentence_says_what_to_set() {
        let failure = Place::find(None, None, &Settings::default()).unwrap_err();
        let sentence = failure.sentence();
        for word in ["RINGBACK__BROKER__URL", "--management"] {
            assert!(sentence.contains(word), "{sentence}");
        }
    }
}
