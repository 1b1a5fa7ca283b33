//! `ringback health URL`: checks a health page, and prints what it says.

use std::io;
use std::time::Duration;

use admin::cli::http::{client_for, shown_url};
use admin::cli::stdout::print_line;
use runtime::text::one_line;
use url::Url;

use crate::error::CommandError;
use crate::http;

/// How long the response may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// How much of an answer is shown, in characters.
const MAX_SHOWN_CHARACTERS: usize = 2_000;

/// Prints the status and the body, and fails unless the status is 2xx.
///
/// # Errors
/// No response within 3 s, or another status; the sentence holds the beginning of the body.
pub(super) async fn run(url: &Url) -> Result<(), CommandError> {
    Ok(print_line(&check(url).await?)?)
}

/// The status and the beginning of the body of a healthy process.
async fn check(url: &Url) -> Result<String, CommandError> {
    let client = client_for(url, HEALTH_TIMEOUT)
        .build()
        .map_err(io::Error::other)?;
    let mut response = http::get(&client, url).await?;
    let status = response.status();
    // The body is for information only.
    let body = response.chunk().await.ok().flatten().unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let beginning: String = one_line(body.trim_end())
        .chars()
        .take(MAX_SHOWN_CHARACTERS)
        .collect();
    if status.is_success() {
        return Ok(format!("{status} {beginning}").trim_end().to_owned());
    }
    let url = shown_url(url);
    Err(CommandError::Failed(format!(
        "{url} answered {status}: {beginning}"
    )))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use tokio_util::sync::CancellationToken;

    use crate::practice_callee;

    async fn check(address: SocketAddr, path: &str) -> Result<String, String> {
        runtime::telemetry::install_crypto();
        let url = format!("http://user:word@{address}{path}").parse().unwrap();
        super::check(&url).await.map_err(|error| error.sentence())
    }

    #[tokio::test]
    async fn only_2xx_is_healthy() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, server) = practice_callee::serve(listen, CancellationToken::new()).unwrap();
        tokio::spawn(server);
        for (path, printed) in [
            ("/ok", "200 OK {\"code\":\"000\"}"),
            ("/status/204", "204 No Content"),
        ] {
            assert_eq!(check(address, path).await.as_deref(), Ok(printed), "{path}");
        }
        let unhealthy = check(address, "/status/503?token=x").await.unwrap_err();
        assert_eq!(
            unhealthy,
            format!(
                "http://{address}/status/503 answered 503 Service Unavailable: {{\"code\":\"503\"}}"
            )
        );
        let redirected = check(address, "/redirect/ok").await.unwrap_err();
        assert!(redirected.contains("answered 307"), "{redirected}");
    }

    #[tokio::test]
    async fn a_missing_response_is_reported_without_the_password() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener); // Nothing listens there any more.
        let silent = check(address, "/readyz?token=x").await.unwrap_err();
        let begin = format!("http://{address}/readyz does not answer: Connection refused");
        assert!(silent.starts_with(&begin), "{silent}");
    }
}
