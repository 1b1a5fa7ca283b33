//! Connects a role to the broker of the settings.

use admin::cli::host_name;
use broker::BrokerConfig;
use broker::rabbitmq::{self, BrokerCredentials, BrokerTls, BrokerTlsError, ClientIdentity};
use broker::{Broker, embedded};
use runtime::ConfigError;
use secrecy::ExposeSecret;

use super::role::ProcessRole;

/// The options for RabbitMQ. Its connections are named after the command, the machine and the process.
///
/// # Errors
/// When `broker.url` is missing or cannot be used.
pub(crate) fn rabbitmq_settings(
    config: &BrokerConfig,
    command: &str,
) -> Result<rabbitmq::RabbitMqOptions, ConfigError> {
    let refused = |reason: String| ConfigError::refused("broker.url", reason);
    let url = config.url.as_ref().ok_or_else(|| {
        let example = "amqp://user:password@host:5672/%2f";
        refused(format!(
            "it is not set, and {command} needs it (write {example})"
        ))
    })?;
    let mut settings = rabbitmq::RabbitMqOptions::new(url.expose_secret()).map_err(refused)?;
    settings.prefix.clone_from(&config.prefix);
    settings.declare = config.declare;
    settings.publish_timeout = config.publish_timeout;
    settings.publish_channels = config.publish_channels.into();
    settings.connection_name = format!("ringback-{command}@{}:{}", host_name(), std::process::id());
    settings.tls = tls(config);
    Ok(settings)
}

/// Opens the broker: RabbitMQ at `broker.url`, or the embedded store in `broker.data_dir`.
///
/// # Errors
/// When neither is set, or what is set cannot be used.
pub(crate) fn open(config: &BrokerConfig, role: ProcessRole) -> Result<Broker, ConfigError> {
    let Some(directory) = &config.data_dir else {
        let settings = rabbitmq_settings(config, role.as_str())?;
        settings
            .tls
            .check()
            .map_err(|error| refused_tls_file(&error))?;
        return Broker::start(settings)
            .map_err(|reason| ConfigError::refused("broker.url", reason));
    };
    Broker::open(&embedded::EmbeddedOptions {
        directory: directory.clone(),
        publish_timeout: config.publish_timeout,
        min_free_bytes: config.min_free_bytes,
    })
    .map_err(|reason| ConfigError::refused("broker.data_dir", reason))
}

/// Users and passwords of `broker.url`, if it is set.
///
/// # Errors
/// When it cannot be used.
pub(crate) fn credentials(config: &BrokerConfig) -> Result<Option<BrokerCredentials>, ConfigError> {
    let urls = config.url.as_ref();
    let found = urls.map(|urls| BrokerCredentials::of(urls.expose_secret()));
    let found = found.transpose();
    found.map_err(|reason| ConfigError::refused("broker.url", reason))
}

/// Refuses the embedded store for a role that shares its queues with other processes.
///
/// # Errors
/// When `broker.data_dir` is set.
pub(crate) fn require_shared(config: &BrokerConfig, role: ProcessRole) -> Result<(), ConfigError> {
    if config.data_dir.is_none() {
        return Ok(());
    }
    let reason = format!(
        "{role} shares its queues with other processes and needs broker.url \
         (one process with the embedded store is `ringback serve`)"
    );
    Err(ConfigError::refused("broker.data_dir", reason))
}

/// Refuses anything but the embedded store.
///
/// # Errors
/// When `broker.url` is set, or `broker.data_dir` is not.
pub(crate) fn require_embedded(config: &BrokerConfig) -> Result<(), ConfigError> {
    if config.url.is_some() {
        let reason = "serve runs on the embedded store in broker.data_dir \
                      (with RabbitMQ, run `ringback ingress` and `ringback dispatcher`)";
        return Err(ConfigError::refused("broker.url", reason));
    }
    if config.data_dir.is_none() {
        let reason = "it is not set, and serve needs it (write /var/lib/ringback)";
        return Err(ConfigError::refused("broker.data_dir", reason));
    }
    Ok(())
}

/// The TLS files of the connection, not read yet.
pub(crate) fn tls(config: &BrokerConfig) -> BrokerTls {
    let pair = config.cert_file.clone().zip(config.key_file.clone());
    BrokerTls {
        ca_file: config.ca_file.clone(),
        identity: pair.map(|(cert_file, key_file)| ClientIdentity {
            cert_file,
            key_file,
        }),
    }
}

/// The error of a TLS file that cannot be used.
pub(crate) fn refused_tls_file(error: &BrokerTlsError) -> ConfigError {
    ConfigError::refused(&format!("broker.{}", error.file), &error.reason)
}

#[cfg(test)]
mod tests {
    use runtime::Config as _;

    use super::*;
    use crate::app::settings::Settings;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables = variables
            .iter()
            .map(|(key, value)| (format!("RINGBACK__{key}"), (*value).to_owned()));
        runtime::config::load(None, variables).unwrap()
    }

    #[test]
    fn a_missing_broker_url_is_named_with_its_variable() {
        let refused = rabbitmq_settings(&settings(&[]).broker, "ingress").unwrap_err();
        let refused = refused.with_variable(Settings::NAMED_SECTIONS);
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
        let found = rabbitmq_settings(&settings.broker, "ingress").unwrap();
        assert_eq!(found.tls, BrokerTls::default());
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
    fn a_tls_file_that_cannot_be_read_is_named_with_its_key() {
        let settings = settings(&[
            ("BROKER__URL", "amqps://a:b@broker.example"),
            ("BROKER__CA_FILE", "/nowhere/ca.pem"),
            ("BROKER__CERT_FILE", "/nowhere/cert.pem"),
            ("BROKER__KEY_FILE", "/nowhere/key.pem"),
        ]);
        let settings = settings.broker;
        // Checking the settings needs no files.
        let identity = ClientIdentity {
            cert_file: "/nowhere/cert.pem".into(),
            key_file: "/nowhere/key.pem".into(),
        };
        let expected = BrokerTls {
            ca_file: Some("/nowhere/ca.pem".into()),
            identity: Some(identity),
        };
        let found = rabbitmq_settings(&settings, "config").unwrap();
        assert_eq!(found.tls, expected);
        let refused = open(&settings, ProcessRole::Ingress).unwrap_err();
        let refused = refused.with_variable(Settings::NAMED_SECTIONS).to_string();
        let begin = "broker.ca_file (RINGBACK__BROKER__CA_FILE): /nowhere/ca.pem cannot be read: ";
        assert!(refused.starts_with(begin), "{refused}");
    }
}
