//! Callers' API over HTTP, for `ringback send`. What counts is the body: its HTTP status may be 200 for all.

use std::io;
use std::time::Duration;

use admin::cli::http::{client_for, error_reason, shown_url};
use contract::CallbackStatus;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::credentials::CallerCredentials;
use crate::error::CommandError;

const PATH: &str = "/api/callback";
/// Longer than any wait that the gateway is asked for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A caller.
pub(super) struct CallersClient {
    /// With the path of callbacks.
    url: Url,
    credentials: CallerCredentials,
    idempotency_key: Option<String>,
    http: Client,
}

/// A callback that was accepted.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) request_id: Uuid,
    pub(super) body: Vec<u8>,
    /// What the gateway did not understand.
    pub(super) warning: Option<String>,
}

/// The gateway's report on a callback.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) status: CallbackStatus,
    pub(super) body: Vec<u8>,
}

/// What every answer has, and what reports have.
#[derive(Debug, Deserialize)]
struct Envelope {
    code: String,
    msg: String,
    request_id: Option<Uuid>,
    status: Option<String>,
}

impl CallersClient {
    /// A caller of the gateway at this address.
    ///
    /// # Errors
    /// It is not an address.
    pub(super) fn new(
        gateway: &Url,
        credentials: CallerCredentials,
        idempotency_key: Option<String>,
    ) -> Result<Self, CommandError> {
        if gateway.cannot_be_a_base() {
            let sentence =
                format!("--gateway {gateway} is not an address (write http://HOST:5106)");
            return Err(CommandError::Failed(sentence));
        }
        let mut url = gateway.clone();
        let path = gateway.path().trim_end_matches('/');
        let path = path.strip_suffix(PATH).unwrap_or(path);
        url.set_path(&format!("{path}{PATH}"));
        let http = client_for(&url, REQUEST_TIMEOUT).build();
        Ok(Self {
            url,
            credentials,
            idempotency_key,
            http: http.map_err(io::Error::other)?,
        })
    }

    /// Sends a callback.
    ///
    /// # Errors
    /// It was refused, or it is not known whether it was accepted.
    pub(super) async fn send(&self, body: Vec<u8>) -> Result<Sent, CommandError> {
        let mut request = self.http.post(self.url.clone());
        if let Some(key) = &self.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let request = self.credentials.add_to(request, &body);
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let exchanged = self.exchange(request).await;
        let (answer, body, warning) = exchanged.map_err(|lost| lost.of_a_callback(&self.url))?;
        match (&*answer.code, answer.request_id) {
            ("000" | "202" | "500500", Some(request_id)) => Ok(Sent {
                request_id,
                body,
                warning,
            }),
            (_, Some(request_id)) => Err(CommandError::Failed(format!(
                "not known to be accepted: {} (it may be delivered as {request_id})",
                answer.msg
            ))),
            (code, None) => {
                let hint = match code {
                    "401" => " (the credential of this app: --key or --secret)",
                    "403" => " (a credential is of one app: --app names it)",
                    _ => "",
                };
                let msg = answer.msg;
                Err(CommandError::Failed(format!(
                    "refused ({code}): {msg}{hint}"
                )))
            }
        }
    }

    /// What became of the callback, after at most `wait` if it has not ended. `None`: not known now.
    ///
    /// # Errors
    /// It can never be known.
    pub(super) async fn report(
        &self,
        request_id: Uuid,
        wait: Duration,
    ) -> Result<Option<Reported>, CommandError> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{request_id}", self.url.path()));
        let payload = format!("GET {}", url.path());
        let mut request = self.http.get(url);
        if wait.as_secs() > 0 {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        let request = self.credentials.add_to(request, payload.as_bytes());
        // Asked again: a gateway that restarts is back in a moment.
        let Ok((answer, body, _)) = self.exchange(request).await else {
            return Ok(None);
        };
        match (&*answer.code, answer.status.as_deref().map(str::parse)) {
            (_, Some(Ok(status))) => Ok(Some(Reported { status, body })),
            // The journal is behind, or out of reach.
            ("500", None) => Ok(None),
            ("501", None) => Err(CommandError::Failed(format!(
                "accepted as {request_id}; what becomes of it cannot be asked: the gateway has no journal"
            ))),
            (code, _) => Err(CommandError::Failed(format!(
                "accepted as {request_id}, but it cannot be asked about ({code}): {}",
                answer.msg
            ))),
        }
    }

    /// Sends a request; returns the answer, its bytes, and the warning that it bears.
    async fn exchange(
        &self,
        request: RequestBuilder,
    ) -> Result<(Envelope, Vec<u8>, Option<String>), NoAnswer> {
        // The sentences of this program are English.
        let request = request.header("accept-language", "en");
        let response = async {
            let response = request.send().await?;
            let status = response.status();
            let warning = response.headers().get("x-callback-warning").cloned();
            Ok((status, warning, response.bytes().await?))
        };
        let (status, warning, body) = response.await.map_err(|error: reqwest::Error| NoAnswer {
            reason: error_reason(&error),
            was_sent: !error.is_connect(),
        })?;
        let answer = serde_json::from_slice(&body).map_err(|_| NoAnswer {
            reason: format!("it answered {status}, and not as a gateway does"),
            was_sent: true,
        })?;
        let warning = warning.and_then(|warning| warning.to_str().ok().map(str::to_owned));
        Ok((answer, body.into(), warning))
    }
}

/// Why there is no answer of a gateway.
struct NoAnswer {
    reason: String,
    /// Whether the request may have arrived.
    was_sent: bool,
}

impl NoAnswer {
    /// The error, where a callback was sent.
    fn of_a_callback(self, url: &Url) -> CommandError {
        let (url, reason) = (shown_url(url), self.reason);
        CommandError::Failed(match self.was_sent {
            true => format!(
                "it is not known whether the callback was accepted: no answer of {url} ({reason}). To send \
                 it again without doing it twice, use --idempotency-key, each time the same"
            ),
            false => format!(
                "{url} does not answer: {reason} (is ingress, serve or dev running there? --gateway URL \
                 names another address)"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_may_be_given_with_or_without_the_path() {
        runtime::telemetry::install_crypto();
        for (gateway, expected) in [
            ("http://h:5106", "http://h:5106/api/callback"),
            ("http://h:5106/api/callback", "http://h:5106/api/callback"),
            ("https://h/gate/", "https://h/gate/api/callback"),
        ] {
            let url = gateway.parse().unwrap();
            let client = CallersClient::new(&url, CallerCredentials::None, None).unwrap();
            assert_eq!(client.url.as_str(), expected);
        }
        let url = "data:x".parse().unwrap();
        let refused = CallersClient::new(&url, CallerCredentials::None, None)
            .err()
            .unwrap();
        assert!(
            refused.to_string().contains("write http://HOST:5106"),
            "{refused}"
        );
    }
}
