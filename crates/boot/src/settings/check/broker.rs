//! Does what is set of the broker make sense?

use secrecy::ExposeSecret;
use url::Url;

use super::{Bad, MINUTE, MOMENT, bad, between, lasts, whole_password};
use crate::settings::{BrokerSettings, Settings};

pub(super) fn broker(settings: &Settings) -> Result<(), Bad> {
    let broker = &settings.broker;
    if let Some(url) = &broker.url {
        let url = amqp(url.expose_secret()).map_err(|reason| bad("broker.url", reason))?;
        tls(broker, &url)?;
    }
    if broker.url.is_some() && broker.data_dir.is_some() {
        let reason =
            "it is for the embedded store, but broker.url names a RabbitMQ (set one of them)";
        return Err(bad("broker.data_dir", reason));
    }
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    if !(1..=40).contains(&broker.prefix.len()) || !broker.prefix.bytes().all(fits) {
        let reason = format!(
            "{:?} is not 1 to 40 of a-z, 0-9, \".\", \"_\", \"-\"",
            broker.prefix
        );
        return Err(bad("broker.prefix", reason));
    }
    lasts(
        "broker.publish_timeout",
        broker.publish_timeout,
        MOMENT..=MINUTE,
    )?;
    between("broker.publish_channels", broker.publish_channels, 1..=8)
}

/// Files for TLS beside a URL without it look like protection and are none.
fn tls(broker: &BrokerSettings, url: &Url) -> Result<(), Bad> {
    let files = [
        ("broker.ca_file", &broker.ca_file),
        ("broker.cert_file", &broker.cert_file),
        ("broker.key_file", &broker.key_file),
    ];
    if url.scheme() == "amqp"
        && let Some((key, _)) = files.iter().find(|(_, file)| file.is_some())
    {
        let reason = "it is for TLS, but broker.url begins with amqp:// (write amqps://)";
        return Err(bad(*key, reason));
    }
    if broker.cert_file.is_some() != broker.key_file.is_some() {
        let reason = "cert_file and key_file go together: set both, or none";
        return Err(bad("broker.cert_file", reason));
    }
    Ok(())
}

/// Refuses what the AMQP client could not use, and what would hide a password from the masking.
fn amqp(text: &str) -> Result<Url, &'static str> {
    let no_url = "it is not a broker's URL (write amqp://user:password@host:5672/%2f)";
    let url = Url::parse(text).map_err(|_| no_url)?;
    if !matches!(url.scheme(), "amqp" | "amqps") || url.host_str().is_none_or(str::is_empty) {
        return Err(no_url);
    }
    whole_password(&url)?;
    Ok(url)
}
