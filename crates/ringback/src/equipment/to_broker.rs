//! How does a role reach the broker, as the settings have it?

use boot::SettingsError;
use boot::settings::BrokerSettings;
use broker::rabbitmq::{self, Identity, Tls, TlsError};
use broker::{Broker, embedded};
use secrecy::ExposeSecret;

/// Where Linux tells the machine's name (in a container, the container's).
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// How a role reaches the broker; its connections are named after it, the machine and the process.
///
/// # Errors
/// When `broker.url` is missing or cannot be used.
pub(crate) fn broker(
    settings: &BrokerSettings,
    role: &str,
) -> Result<rabbitmq::Settings, SettingsError> {
    let refused = |reason: String| SettingsError::refused("broker.url", reason);
    let url = settings.url.as_ref().ok_or_else(|| {
        let example = "amqp://user:password@host:5672/%2f";
        refused(format!(
            "it is not set, and {role} needs it (write {example})"
        ))
    })?;
    let mut found = rabbitmq::Settings::new(url.expose_secret()).map_err(refused)?;
    found.prefix.clone_from(&settings.prefix);
    found.declare = settings.declare;
    found.publish_timeout = settings.publish_timeout;
    found.publish_channels = settings.publish_channels.into();
    found.connection_name = format!("ringback-{role}@{}:{}", host_name(), std::process::id());
    found.tls = tls(settings);
    Ok(found)
}

/// Opens the broker that the settings name: RabbitMQ at `broker.url`, or else the embedded store in
/// `broker.data_dir`.
///
/// # Errors
/// When neither is set, or what is set cannot be used.
pub(crate) fn open(settings: &BrokerSettings, role: &str) -> Result<Broker, SettingsError> {
    let Some(directory) = &settings.data_dir else {
        let refused = |reason| SettingsError::refused("broker.url", reason);
        let broker = broker(settings, role)?;
        broker.tls.check().map_err(|error| refused_file(&error))?;
        return Broker::start(broker).map_err(refused);
    };
    let (directory, publish_timeout) = (directory.clone(), settings.publish_timeout);
    Broker::open(&embedded::Settings {
        directory,
        publish_timeout,
    })
    .map_err(|reason| SettingsError::refused("broker.data_dir", reason))
}

/// Refuses the embedded store for a role that shares its queue with other processes.
///
/// # Errors
/// When `broker.data_dir` is set.
pub(crate) fn shared_broker(settings: &BrokerSettings, role: &str) -> Result<(), SettingsError> {
    if settings.data_dir.is_none() {
        return Ok(());
    }
    let reason = format!(
        "{role} shares its queue with other processes and needs broker.url \
         (one process with the embedded store is `ringback serve`)"
    );
    Err(SettingsError::refused("broker.data_dir", reason))
}

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

/// Refuses anything but the embedded store.
///
/// # Errors
/// When `broker.url` is set, or `broker.data_dir` is not.
pub(crate) fn own_store(settings: &BrokerSettings) -> Result<(), SettingsError> {
    if settings.url.is_some() {
        let reason = "serve runs on the embedded store in broker.data_dir \
                      (with RabbitMQ, run `ringback ingress` and `ringback dispatcher`)";
        return Err(SettingsError::refused("broker.url", reason));
    }
    if settings.data_dir.is_none() {
        let reason = "it is not set, and serve needs it (write /var/lib/ringback)";
        return Err(SettingsError::refused("broker.data_dir", reason));
    }
    Ok(())
}

pub(crate) fn host_name() -> String {
    let told = std::fs::read_to_string(HOST_NAME_FILE).or_else(|_| std::env::var("HOSTNAME"));
    told.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use boot::settings::Settings;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables = variables
            .iter()
            .map(|(key, value)| (format!("RINGBACK__{key}"), (*value).to_owned()));
        Settings::load(None, variables).unwrap()
    }

    #[test]
    fn a_missing_broker_url_is_told_by_its_variable() {
        let refused = broker(&settings(&[]).broker, "ingress").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "broker.url (RINGBACK__BROKER__URL): it is not set, and ingress needs it \
             (write amqp://user:password@host:5672/%2f)"
        );
    }

    #[test]
    fn the_broker_is_reached_as_the_settings_say() {
        let settings = settings(&[
            ("BROKER__URL", "amqp://a:b@broker.example:5673/v"),
            ("BROKER__PREFIX", "mine"),
            ("BROKER__DECLARE", "false"),
            ("BROKER__PUBLISH_TIMEOUT", "7s"),
            ("BROKER__PUBLISH_CHANNELS", "3"),
        ]);
        let found = broker(&settings.broker, "ingress").unwrap();
        assert_eq!(found.tls, Tls::default());
        assert_eq!(found.prefix, "mine");
        assert!(!found.declare);
        assert_eq!(found.publish_timeout.as_secs(), 7);
        assert_eq!(found.publish_channels, 3);
        let name = found.connection_name;
        assert!(name.starts_with("ringback-ingress@"), "{name}");
        assert!(
            name.ends_with(&format!(":{}", std::process::id())),
            "{name}"
        );
    }

    #[test]
    fn a_file_for_tls_that_cannot_be_used_is_named_with_its_key() {
        let settings = settings(&[
            ("BROKER__URL", "amqps://a:b@broker.example"),
            ("BROKER__CA_FILE", "/nowhere/ca.pem"),
            ("BROKER__CERT_FILE", "/nowhere/cert.pem"),
            ("BROKER__KEY_FILE", "/nowhere/key.pem"),
        ]);
        let settings = settings.broker;
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
