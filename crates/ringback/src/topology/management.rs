//! Reads the objects of a running broker from its management API.

use std::time::Duration;
use std::{fs, io};

use admin::cli::http::{error_reason, shown_url};
use admin::doctor::NodeFacts;
use broker::rabbitmq::BrokerTls;
use percent_encoding::percent_decode_str;
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

/// The timeout of the list of nodes: people wait for it.
const NODES_TIMEOUT: Duration = Duration::from_secs(5);

/// What is read of each node: its statistics are many times as much.
const NODE_COLUMNS: &str = "columns=name,running,fd_used,fd_total,mem_used,mem_limit,mem_alarm,\
                            disk_free,disk_free_limit,disk_free_alarm";

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
    let client = client(base, tls, LIST_TIMEOUT)?;
    let list = async |kind| list(&client, base, &[kind, vhost], COLUMNS).await;
    Ok(BrokerObjects {
        exchanges: list("exchanges").await?,
        queues: list("queues").await?,
        bindings: list("bindings").await?,
    })
}

/// Reads the nodes from the management API at `base`.
///
/// # Errors
/// As [`read`].
pub(super) async fn nodes(base: &Url, tls: &BrokerTls) -> Result<Vec<NodeFacts>, CommandError> {
    let client = client(base, tls, NODES_TIMEOUT)?;
    let nodes = list(&client, base, &["nodes"], NODE_COLUMNS).await?;
    Ok(nodes.iter().map(node).collect())
}

/// What the API shows of a node; what it does not show is `None`. Some versions write 0 for a figure
/// that they do not keep.
fn node(node: &Value) -> NodeFacts {
    let pair = |used: &str, limit: &str| {
        let limit = node[limit].as_u64().filter(|limit| *limit > 0)?;
        Some((node[used].as_u64()?, limit))
    };
    NodeFacts {
        name: node["name"].as_str().unwrap_or("a node").to_owned(),
        running: node["running"].as_bool(),
        files: pair("fd_used", "fd_total").filter(|(used, _)| *used > 0),
        memory: pair("mem_used", "mem_limit"),
        memory_alarm: node["mem_alarm"].as_bool(),
        disk: pair("disk_free", "disk_free_limit"),
        disk_alarm: node["disk_free_alarm"].as_bool(),
    }
}

fn client(base: &Url, tls: &BrokerTls, timeout: Duration) -> Result<Client, CommandError> {
    tls.check().map_err(|error| refused_tls_file(&error))?;
    let mut client = admin::cli::http::client_for(base, timeout);
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
    path: &[&str],
    columns: &str,
) -> Result<Vec<Value>, CommandError> {
    let url = list_url(base, path, columns).ok_or_else(|| {
        CommandError::Failed(format!("{} is not an HTTP address", shown_url(base)))
    })?;
    let answer = http::get(client, &url).await?;
    let (status, shown) = (answer.status(), shown_url(&url));
    if !status.is_success() {
        let body = answer.bytes().await.unwrap_or_default();
        let meaning = meaning(status.as_u16(), &body, base.username());
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

/// What a failure means, by its status and by RabbitMQ's reason. A user without a tag is told 401, as
/// one with a wrong password is.
fn meaning(status: u16, body: &[u8], user: &str) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = body["reason"].as_str().unwrap_or_default().to_lowercase();
    let lacks_tag =
        status == 403 || ["not management user", "not monitor user"].contains(&reason.trim());
    if lacks_tag {
        let user = percent_decode_str(user).decode_utf8_lossy();
        return format!(
            " (the user {user} lacks the tag `monitoring`: set it with `rabbitmqctl set_user_tags \
             {user} monitoring`, or name another user with --management)"
        );
    }
    let meaning = match status {
        401 => " (is the user's password right, and may it use this virtual host?)",
        404 => " (is there such a virtual host, and the management plugin?)",
        _ => "",
    };
    meaning.to_owned()
}

/// `base` may have a path (`management.path_prefix`).
fn list_url(base: &Url, path: &[&str], columns: &str) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .push("api")
        .extend(path);
    url.set_query(Some(columns));
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
            let url = list_url(&base.parse().unwrap(), &["queues", vhost], COLUMNS).unwrap();
            let expected = format!("{expected}?{COLUMNS}");
            assert_eq!(url.as_str(), expected);
        }
        let not_a_base = "mailto:a@b".parse().unwrap();
        assert_eq!(list_url(&not_a_base, &["queues", "/"], COLUMNS), None);
    }

    #[test]
    fn a_user_without_the_tag_is_told_from_a_wrong_password() {
        let body = |reason: &str| format!(r#"{{"error":"not_authorised","reason":"{reason}"}}"#);
        for (status, reason, expected) in [
            (
                401,
                "Not management user",
                "tag `monitoring`: set it with `rabbitmqctl set_user_tags a@b",
            ),
            (401, "Not monitor user", "tag `monitoring`"),
            (403, "", "tag `monitoring`"),
            (401, "Login failed", "password right"),
            (404, "", "virtual host"),
        ] {
            let found = meaning(status, body(reason).as_bytes(), "a%40b");
            assert!(found.contains(expected), "{status} {reason}: {found}");
        }
        assert_eq!(meaning(500, b"<html>", "a"), "");
    }

    #[test]
    fn the_figures_of_a_node_are_read_and_what_it_does_not_show_is_unknown() {
        let full = serde_json::json!({
            "name": "rabbit@a", "running": true, "fd_used": 1_020, "fd_total": 1_024,
            "mem_used": 5, "mem_limit": 10, "mem_alarm": false,
            "disk_free": 3, "disk_free_limit": 2, "disk_free_alarm": true,
        });
        let expected = NodeFacts {
            name: "rabbit@a".to_owned(),
            running: Some(true),
            files: Some((1_020, 1_024)),
            memory: Some((5, 10)),
            memory_alarm: Some(false),
            disk: Some((3, 2)),
            disk_alarm: Some(true),
        };
        assert_eq!(node(&full), expected);
        let newer = serde_json::json!({"name": "rabbit@b", "fd_used": 0, "fd_total": 0});
        let expected = NodeFacts {
            name: "rabbit@b".to_owned(),
            ..NodeFacts::default()
        };
        assert_eq!(node(&newer), expected);
    }
}
