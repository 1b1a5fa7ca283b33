//! How does a command ask the operators' API?

use std::time::Duration;

use boot::settings::AdminSettings;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::ask::{reason, shown};
use crate::dev::reachable;
use crate::failure::Failure;

/// A replay of a thousand on a busy broker takes a while.
const WITHIN: Duration = Duration::from_secs(120);

/// The operators' API of a running process.
pub(crate) struct Api {
    base: Url,
    token: Option<SecretString>,
    client: Client,
}

impl Api {
    /// The one asked for, or else the one at `admin.listen`.
    ///
    /// # Errors
    /// When there is no such address.
    pub(crate) fn new(asked: Option<Url>, settings: &AdminSettings) -> Result<Self, Failure> {
        let base = match asked {
            Some(url) if url.cannot_be_a_base() => {
                let sentence = format!("--admin {url} is no address (write http://HOST:5109)");
                return Err(Failure::Found(sentence));
            }
            Some(url) => url,
            None if settings.listen.port() == 0 => {
                let sentence = "admin.listen has port 0, so its port is in the log of the process: \
                                name it with --admin URL";
                return Err(Failure::Found(sentence.to_owned()));
            }
            None => {
                let text = format!("http://{}", reachable(settings.listen));
                Url::parse(&text).map_err(std::io::Error::other)?
            }
        };
        // Neither redirects nor a proxy: the token is for this address alone.
        let client = Client::builder()
            .timeout(WITHIN)
            .redirect(Policy::none())
            .no_proxy()
            .build();
        Ok(Self {
            base,
            token: settings.token.clone(),
            client: client.map_err(std::io::Error::other)?,
        })
    }

    /// Asks a path, with these parameters.
    ///
    /// # Errors
    /// No answer, or another than 2xx: with the sentence that was answered.
    pub(crate) async fn get<K: AsRef<str>, V: AsRef<str>>(
        &self,
        path: &str,
        parameters: &[(K, V)],
    ) -> Result<Vec<u8>, Failure> {
        let mut url = self.at(path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        self.send(self.client.get(url)).await
    }

    /// Posts a body to a path.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Vec<u8>, Failure> {
        let request = self.client.post(self.at(path));
        let request = request.header("content-type", "application/json");
        self.send(request.body(body.to_string())).await
    }

    /// Deletes what these parameters mean.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn delete<K: AsRef<str>, V: AsRef<str>>(
        &self,
        path: &str,
        parameters: &[(K, V)],
    ) -> Result<Vec<u8>, Failure> {
        let mut url = self.at(path);
        url.query_pairs_mut().extend_pairs(parameters);
        self.send(self.client.delete(url)).await
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let before = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{before}{path}"));
        url
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answered = async {
            let answer = request.send().await?;
            Ok((answer.status(), answer.bytes().await?))
        };
        let (status, body) = answered.await.map_err(|error: reqwest::Error| {
            let (at, why) = (shown(&self.base), reason(&error));
            Failure::Found(format!(
                "{at} does not answer: {why} (a dispatcher, serve or dev must run there; \
                 --admin URL names another)"
            ))
        })?;
        if status.is_success() {
            return Ok(body.into());
        }
        #[derive(Deserialize)]
        struct Refused {
            error: String,
        }
        let said = match serde_json::from_slice::<Refused>(&body) {
            Ok(refused) => refused.error,
            Err(_) => format!("{} answered {status}", shown(&self.base)),
        };
        let hint = match status.as_u16() {
            401 => " (RINGBACK__ADMIN__TOKEN)",
            _ => "",
        };
        Err(Failure::Found(format!("{said}{hint}")))
    }
}

/// Reads an answer.
///
/// # Errors
/// When it is none of ours.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let sentence = format!("the answer is not one of the operators' API: {error}");
        Failure::Found(sentence)
    })
}
