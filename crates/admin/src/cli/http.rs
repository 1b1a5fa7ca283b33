//! HTTP clients of commands, and how addresses and errors are shown.

use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use url::Url;

/// A client with a timeout for the whole response. It follows no redirects and uses no proxy of the
/// environment: credentials and responses are for the address in the URL only.
pub fn client(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .timeout(timeout)
        .redirect(Policy::none())
        .no_proxy()
}

/// A client for this URL. Without TLS it needs no roots of certificates, which a small container may
/// not have.
pub fn client_for(url: &Url, timeout: Duration) -> ClientBuilder {
    let client = client(timeout);
    match url.scheme() {
        "https" => client,
        _ => client.tls_certs_only([]),
    }
}

/// Where a listener is reached from this machine: a wildcard address cannot be called.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Why there is no response: the root cause ("Connection refused"). The error's own text would repeat
/// the URL.
#[must_use]
pub fn error_reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let root = causes.last();
    root.map_or_else(|| "cannot send the request".to_owned(), ToString::to_string)
}

/// The URL without user, password and query, which may be secret.
#[must_use]
pub fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for a URL that cannot have user info.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_address_are_never_shown() {
        let url = Url::parse("http://user:word@h:1/x?token=y").unwrap();
        assert_eq!(shown_url(&url), "http://h:1/x");
        for (listen, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:2", "[::1]:2"),
            ("10.0.0.1:3", "10.0.0.1:3"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
