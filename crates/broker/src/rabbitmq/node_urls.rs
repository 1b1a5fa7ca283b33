//! The URLs of the nodes in `broker.url`.

use lapin::uri::AMQPUri;
use std::net::Ipv6Addr;

/// In seconds. RabbitMQ looks twice in this time whether it has sent anything, and sends a heartbeat
/// if not: a node at work is heard every 4 s at least, even when it reads nothing from us. That is
/// shorter than the time after which a node counts as silent.
const HEARTBEAT: u16 = 4;

/// Bytes in a frame, unless the URL says otherwise. lapin buffers 32 of them in each direction of
/// each connection: with RabbitMQ's 128 KiB, four connections would take 32 MiB.
const FRAME_MAX: u32 = 32 * 1024;

/// The URLs of the nodes in the setting's text: separated by commas. A comma inside a URL is left
/// alone.
pub fn split_urls(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let ends = text.match_indices(',').find(|(at, _)| {
            let next = text[at + 1..].trim_start();
            next.starts_with("amqp://") || next.starts_with("amqps://")
        });
        let Some((end, _)) = ends else {
            return Some(text.trim());
        };
        rest = Some(&text[end + 1..]);
        Some(text[..end].trim())
    })
}

/// The nodes of the setting's text.
pub(super) fn parse_nodes(urls: &str) -> Result<Vec<AMQPUri>, String> {
    split_urls(urls).map(parse_node).collect()
}

fn parse_node(url: &str) -> Result<AMQPUri, String> {
    let mut uri: AMQPUri = url
        .parse()
        // The parser's own words may repeat a part of the URL.
        .map_err(|_| {
            "the broker's URL is not usable: check its port and its parameters (heartbeat, \
             channel_max, frame_max, connection_timeout, auth_mechanism)"
        })?;
    // `amqp://host/` names the virtual host "", which RabbitMQ never has: the default one is meant.
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    if let Some(address) = ipv6_host(url) {
        uri.authority.host = address.to_owned();
    }
    Ok(uri)
}

/// The IPv6 address that is the URL's host (RFC 3986, 3.2.2), without its brackets. lapin's parser
/// ignores it and uses `localhost` instead.
fn ipv6_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, host_and_port) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (address, _) = host_and_port.strip_prefix('[')?.split_once(']')?;
    address.parse::<Ipv6Addr>().is_ok().then_some(address)
}
