//! How does a command ask something over HTTP, and what does it make of silence?

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response};
use url::Url;

use crate::failure::Failure;
use crate::say::say;

/// How long a health page may take.
const HEALTH_WITHIN: Duration = Duration::from_secs(3);

/// How much of a sick process's answer is shown, in characters.
const SHOWN_CHARACTERS: usize = 300;

/// A client that gives up after this time, body included. Neither redirects nor a proxy of the
/// environment are followed: the answer must be that of the address asked.
pub(crate) fn client(within: Duration) -> ClientBuilder {
    Client::builder()
        .timeout(within)
        .redirect(Policy::none())
        .no_proxy()
}

/// Asks `url` once. User and password in it become basic authentication.
///
/// # Errors
/// When there is no answer; the sentence names the address, without password and query.
pub(crate) async fn get(client: &Client, url: &Url) -> Result<Response, Failure> {
    client.get(url.clone()).send().await.map_err(|error| {
        let reason = reason(&error);
        Failure::Found(format!("{} does not answer: {reason}", shown(url)))
    })
}

/// Why there is no answer. The root cause says the most ("Connection refused"); the error's own
/// text would repeat the URL.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes
        .last()
        .map_or_else(|| "it cannot be asked".to_owned(), ToString::to_string)
}

/// The URL without what may be secret.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that refuses has no user info that could be shown.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.to_string()
}

/// `ringback health URL`: says the status, and fails unless it is 2xx.
///
/// # Errors
/// No answer within 3 s, or another status; the sentence holds the beginning of the body.
pub(crate) async fn health(url: &Url) -> Result<(), Failure> {
    let client = client(HEALTH_WITHIN).build().map_err(io::Error::other)?;
    let mut answer = get(&client, url).await?;
    let status = answer.status();
    if status.is_success() {
        return Ok(say(&status.to_string())?);
    }
    // A body that cannot be read changes nothing.
    let body = answer.chunk().await.ok().flatten().unwrap_or_default();
    let told = one_line(&String::from_utf8_lossy(&body));
    let url = shown(url);
    Err(Failure::Found(format!("{url} answered {status}: {told}")))
}

/// The beginning of `text`, without line breaks and other control characters.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SHOWN_CHARACTERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::callee;

    async fn ask_health(address: SocketAddr, path: &str) -> Result<(), String> {
        boot::telemetry::install_crypto();
        let url = format!("http://user:word@{address}{path}").parse().unwrap();
        health(&url).await.map_err(|failure| failure.sentence())
    }

    #[tokio::test]
    async fn a_health_page_is_well_with_2xx_alone() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, server) = callee::serve(listen, CancellationToken::new()).unwrap();
        tokio::spawn(server);
        for path in ["/ok", "/status/204", "/received"] {
            assert_eq!(ask_health(address, path).await, Ok(()), "{path}");
        }
        let sick = ask_health(address, "/status/503?token=x")
            .await
            .unwrap_err();
        assert_eq!(
            sick,
            format!(
                "http://{address}/status/503 answered 503 Service Unavailable: {{\"code\":\"503\"}}"
            )
        );
        let elsewhere = ask_health(address, "/redirect/ok").await.unwrap_err();
        assert!(elsewhere.contains("answered 307"), "{elsewhere}");
    }

    #[tokio::test]
    async fn silence_is_told_without_the_password() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener); // Nobody listens there any more.
        let silent = ask_health(address, "/readyz?token=x").await.unwrap_err();
        let begin = format!("http://{address}/readyz does not answer: Connection refused");
        assert!(silent.starts_with(&begin), "{silent}");
    }

    #[test]
    fn a_shown_body_is_one_short_line() {
        assert_eq!(one_line("a\r\nb\u{1b}c"), "a  b c");
        assert_eq!(one_line(&"乐".repeat(1_000)).chars().count(), 300);
    }
}
