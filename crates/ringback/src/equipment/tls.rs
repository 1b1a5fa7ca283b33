//! Whom does the connection to the broker trust, as the settings have it?

use boot::SettingsError;
use boot::settings::BrokerSettings;
use broker::rabbitmq::{Identity, Tls, TlsError};

/// Whom the connection trusts, and what the broker is shown. The files are not looked at yet.
pub(crate) fn tls(settings: &BrokerSettings) -> Tls {
    let pair = settings.cert_file.clone().zip(settings.key_file.clone());
    Tls {
        ca_file: settings.ca_file.clone(),
        identity: pair.map(|(cert_file, key_file)| Identity {
            cert_file,
            key_file,
        }),
    }
}

/// The refusal of one of the files.
pub(crate) fn refused_file(error: &TlsError) -> SettingsError {
    SettingsError::refused(&format!("broker.{}", error.file), &error.reason)
}

#[cfg(test)]
mod tests {
    use super::super::{broker, open};
    use super::*;
    use boot::settings::Settings;

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_key() {
        let variables = [
            ("URL", "amqps://a:b@broker.example"),
            ("CA_FILE", "/nowhere/ca.pem"),
            ("CERT_FILE", "/nowhere/cert.pem"),
            ("KEY_FILE", "/nowhere/key.pem"),
        ];
        let variables =
            variables.map(|(key, value)| (format!("RINGBACK__BROKER__{key}"), value.to_owned()));
        let settings = Settings::load(None, variables.into_iter()).unwrap().broker;
        // Whoever only looks at the settings needs no files.
        let identity = Identity {
            cert_file: "/nowhere/cert.pem".into(),
            key_file: "/nowhere/key.pem".into(),
        };
        let expected = Tls {
            ca_file: Some("/nowhere/ca.pem".into()),
            identity: Some(identity),
        };
        assert_eq!(broker(&settings, "config").unwrap().tls, expected);
        let refused = open(&settings, "ingress").unwrap_err().to_string();
        let begin = "broker.ca_file (RINGBACK__BROKER__CA_FILE): /nowhere/ca.pem cannot be read: ";
        assert!(refused.starts_with(begin), "{refused}");
    }
}
