//! Reads the objects of a running broker from its management API.

use std::time::Duration;
use std::{fs, io};

use admin::cli::http::{error_reason, shown_url};
use broker::rabbitmq::BrokerTls;
use reqwest::{Certificate, Client};
use serde_json::Value;
use url::Url;

use crate::app::broker::refused_tls_file;
use crate::error::CommandError;
use crate::http;

/// The timeout of each list. A broker with many queues is slow.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// The fields that are compared. Requested by name, because the statistics of thousands of queues are
/// megabytes; RabbitMQ ignores columns that a list does not have.
const COLUMNS: &str = "columns=name,type,durable,auto_delete,internal,arguments,policy,\
                       source,destination,destination_type,routing_key";

/// The objects of one virtual host, as the management API shows them.
#[derive(Debug, Default)]
pub(super) struct BrokerObjects {
    pub(super) exchanges: Vec<Value>,
    pub(super) queues: Vec<Value>,
    pub(super) bindings: Vec<Value>,
}

/// Reads the objects in `vhost` from the management API at `base`. HTTPS uses the TLS files of the
/// broker.
///
/// # Errors
/// No answer, or one that is not a list: wrong password, no such virtual host. A TLS file that
/// cannot be used.
pub(super) async fn read(
    base: &Url,
    vhost: &str,
    tls: &BrokerTls,
) -> Result<BrokerObjects, CommandError> {
    let client = client(tls)?;
    Ok(BrokerObjects {
        exchanges: list(&client, base, "exchanges", vhost).await?,
        queues: list(&client, base, "queues", vhost).await?,
        bindings: list(&client, base, "bindings", vhost).await?,
    })
}

fn client(tls: &BrokerTls) -> Result<Client, CommandError> {
    tls.check().map_err(|error| refused_tls_file(&error))?;
    let mut client = admin::cli::http::client(LIST_TIMEOUT);
    let unusable = io::Error::other::<reqwest::Error>;
    if let Some(file) = &tls.ca_file {
        let roots = Certificate::from_pem_bundle(&fs::read(file)?).map_err(unusable)?;
        client = client.tls_certs_only(roots);
    }
    if let Some(identity) = &tls.identity {
        let mut pem = fs::read(&identity.cert_file)?;
        pem.push(b'\n');
        pem.extend(fs::read(&identity.key_file)?);
        client = client.identity(reqwest::Identity::from_pem(&pem).map_err(unusable)?);
    }
    Ok(client.build().map_err(unusable)?)
}

async fn list(
    client: &Client,
    base: &Url,
    kind: &str,
    vhost: &str,
) -> Result<Vec<Value>, CommandError> {
    let url = list_url(base, kind, vhost).ok_or_else(|| {
        CommandError::Failed(format!("{} is not an HTTP address", shown_url(base)))
    })?;
    let answer = http::get(client, &url).await?;
    let (status, shown) = (answer.status(), shown_url(&url));
    if !status.is_success() {
        let meaning = match status.as_u16() {
            401 => " (is the user's password right, and may it use this virtual host?)",
            403 => " (the user needs the tag `monitoring` or `management`)",
            404 => " (is there such a virtual host, and the management plugin?)",
            _ => "",
        };
        return Err(CommandError::Failed(format!(
            "{shown} answered {status}{meaning}"
        )));
    }
    let body = answer.bytes().await.map_err(|error| {
        let reason = error_reason(&error);
        CommandError::Failed(format!("{shown} did not answer in full: {reason}"))
    })?;
    serde_json::from_slice(&body)
        .map_err(|_| CommandError::Failed(format!("{shown} is not RabbitMQ's management API")))
}

/// `base` may have a path (`management.path_prefix`).
fn list_url(base: &Url, kind: &str, vhost: &str) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(["api", kind, vhost]);
    url.set_query(Some(COLUMNS));
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_host_is_one_segment_of_the_path() {
        for (base, vhost, expected) in [
            (
                "http://a:b@h:15672",
                "/",
                "http://a:b@h:15672/api/queues/%2F",
            ),
            (
                "http://h/rabbit/",
                "eu/1 %",
                "http://h/rabbit/api/queues/eu%2F1%20%25",
            ),
        ] {
            let url = list_url(&base.parse().unwrap(), "queues", vhost).unwrap();
            let expected = format!("{expected}?{COLUMNS}");
            assert_eq!(url.as_str(), expected);
        }
        let not_a_base = "mailto:a@b".parse().unwrap();
        assert_eq!(list_url(&not_a_base, "queues", "/"), None);
    }
}
