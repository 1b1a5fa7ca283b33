//! What does a running broker say that it has?

use std::time::Duration;
use std::{fs, io};

use broker::rabbitmq::Tls;
use reqwest::{Certificate, Client};
use serde_json::Value;
use url::Url;

use crate::ask;
use crate::equipment::refused_file;
use crate::failure::Failure;

/// How long each list may take. A broker with many queues needs a while.
const LIST_WITHIN: Duration = Duration::from_secs(30);

/// What the comparison looks at. Asked for by name, because the statistics of thousands of queues
/// are megabytes; RabbitMQ passes over columns that a list does not have.
const COLUMNS: &str = "columns=name,type,durable,auto_delete,internal,arguments,policy,\
                       source,destination,destination_type,routing_key";

/// What the broker has in one virtual host, in the words of its management API.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) exchanges: Vec<Value>,
    pub(super) queues: Vec<Value>,
    pub(super) bindings: Vec<Value>,
}

/// Asks the management API at `base` for all that is in `vhost`. Over HTTPS the API is trusted as
/// the broker is, and shown the same certificate.
///
/// # Errors
/// No answer, or one that is no list: wrong password, no such virtual host. A file for TLS that
/// cannot be used.
pub(super) async fn read(base: &Url, vhost: &str, tls: &Tls) -> Result<Found, Failure> {
    let client = client(tls)?;
    Ok(Found {
        exchanges: list(&client, base, "exchanges", vhost).await?,
        queues: list(&client, base, "queues", vhost).await?,
        bindings: list(&client, base, "bindings", vhost).await?,
    })
}

fn client(tls: &Tls) -> Result<Client, Failure> {
    tls.check().map_err(|error| refused_file(&error))?;
    let mut client = ask::client(LIST_WITHIN);
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

async fn list(client: &Client, base: &Url, kind: &str, vhost: &str) -> Result<Vec<Value>, Failure> {
    let url = list_url(base, kind, vhost)
        .ok_or_else(|| Failure::Found(format!("{} is not an HTTP address", ask::shown(base))))?;
    let answer = ask::get(client, &url).await?;
    let (status, shown) = (answer.status(), ask::shown(&url));
    if !status.is_success() {
        let meaning = match status.as_u16() {
            401 => " (is the user's password right, and may it use this virtual host?)",
            403 => " (the user needs the tag `monitoring` or `management`)",
            404 => " (is there such a virtual host, and the management plugin?)",
            _ => "",
        };
        return Err(Failure::Found(format!(
            "{shown} answered {status}{meaning}"
        )));
    }
    let body = answer.bytes().await.map_err(|error| {
        let reason = ask::reason(&error);
        Failure::Found(format!("{shown} did not answer in full: {reason}"))
    })?;
    serde_json::from_slice(&body)
        .map_err(|_| Failure::Found(format!("{shown} is not RabbitMQ's management API")))
}

/// `base` may have a path of its own (`management.path_prefix`).
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
        let no_base = "mailto:a@b".parse().unwrap();
        assert_eq!(list_url(&no_base, "queues", "/"), None);
    }
}
