//! The client of the operators' API.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::error::CliError;
use super::http::{self, error_reason, reachable, shown_url};
use super::stdout::print_notice;
use crate::api::query_params::MAX_LIMIT;
use crate::api::view::{ItemsPage, PauseView};
use crate::config::AdminConfig;

/// A replay of a thousand takes a while on a busy broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A query parameter.
pub(super) type Parameter = (&'static str, String);

/// A client of the operators' API of one process.
pub(super) struct AdminClient {
    base: Url,
    token: Option<SecretString>,
    http: Client,
}

impl AdminClient {
    /// A client of this address, or of the one at `admin.listen`.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(super) fn new(url: Option<Url>, config: &AdminConfig) -> Result<Self, CliError> {
        let base = match url {
            Some(url) if url.cannot_be_a_base() => {
                let sentence = format!("--admin {url} is not an address (write http://HOST:5109)");
                return Err(CliError::Failed(sentence));
            }
            Some(url) => url,
            None if config.listen.port() == 0 => {
                return Err(CliError::failed(
                    "admin.listen has port 0: find the real port in the process's log, and pass it \
                     with --admin URL",
                ));
            }
            None => {
                let text = format!("http://{}", reachable(config.listen));
                Url::parse(&text).map_err(std::io::Error::other)?
            }
        };
        let client = http::client_for(&base, REQUEST_TIMEOUT).build();
        Ok(Self {
            base,
            token: config.token.clone(),
            http: client.map_err(std::io::Error::other)?,
        })
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// No answer, or an error response; with its sentence.
    pub(super) async fn get(
        &self,
        path: &str,
        parameters: &[Parameter],
    ) -> Result<Vec<u8>, CliError> {
        self.send(self.http.get(self.url(path, parameters))).await
    }

    /// Sends a POST.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Vec<u8>, CliError> {
        let request = self.http.post(self.url(path, &[]));
        let request = request.header("content-type", "application/json");
        self.send(request.body(body.to_string())).await
    }

    /// Sends a DELETE.
    pub(super) async fn delete(
        &self,
        path: &str,
        parameters: &[Parameter],
    ) -> Result<Vec<u8>, CliError> {
        self.send(self.http.delete(self.url(path, parameters)))
            .await
    }

    /// The whole ids of callbacks that are to be changed. Where the first digits are written, the API is
    /// asked for the callback that has them, and its id is said.
    ///
    /// # Errors
    /// No callback's id begins like this, or several do; and those of [`AdminClient::get`].
    pub(super) async fn whole_ids(&self, written: Vec<String>) -> Result<Vec<String>, CliError> {
        #[derive(Deserialize)]
        struct Shown {
            request_id: Uuid,
        }
        let mut ids = Vec::new();
        for text in written {
            if Uuid::try_parse(&text).is_ok() {
                ids.push(text);
                continue;
            }
            let path = format!("/admin/v1/callbacks/{text}");
            let Shown { request_id } = parse(&self.get(&path, &[]).await?)?;
            print_notice(&format!("{text} is {request_id}"));
            ids.push(request_id.to_string());
        }
        Ok(ids)
    }

    /// Reads a list page by page.
    pub(super) fn pages<'a>(
        &'a self,
        path: &'static str,
        parameters: Vec<Parameter>,
        limit: u64,
    ) -> PageReader<'a> {
        PageReader {
            client: self,
            path,
            parameters,
            remaining: limit,
            next: NextPage::First,
        }
    }

    fn url(&self, path: &str, parameters: &[Parameter]) -> Url {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }

    /// The address that is asked, without what may be secret.
    pub(super) fn shown_address(&self) -> String {
        shown_url(&self.base)
    }

    /// Sends a GET to whatever may listen there: its status and body.
    ///
    /// # Errors
    /// Why there is no answer, in a few words.
    pub(super) async fn try_get(
        &self,
        path: &str,
        parameters: &[Parameter],
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let answer = self.answer(self.http.get(self.url(path, parameters)));
        answer.await.map_err(|error| error_reason(&error))
    }

    async fn answer(&self, mut request: RequestBuilder) -> reqwest::Result<(StatusCode, Vec<u8>)> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let response = request.send().await?;
        Ok((response.status(), response.bytes().await?.into()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, CliError> {
        let (status, body) = self.answer(request).await.map_err(|error: reqwest::Error| {
            let (url, cause) = (shown_url(&self.base), error_reason(&error));
            CliError::Failed(format!(
                "{url} does not answer: {cause} (is an admin, dispatcher, serve or dev running there? \
                 --admin URL names another address)"
            ))
        })?;
        if status.is_success() {
            return Ok(body);
        }
        let detail = problem_detail(&body);
        let problem = detail.is_some();
        let sentence =
            detail.unwrap_or_else(|| format!("{} answered {status}", shown_url(&self.base)));
        let hint = match (status, &self.token, problem) {
            (StatusCode::UNAUTHORIZED, None, _) => " (set RINGBACK__ADMIN__TOKEN)",
            (StatusCode::UNAUTHORIZED, Some(_), _) => {
                " (RINGBACK__ADMIN__TOKEN is set, and not known there)"
            }
            (StatusCode::NOT_FOUND, _, false) => {
                " (is this an operators' listener? admin.listen, by default port 5109)"
            }
            _ => "",
        };
        Err(CliError::Failed(format!("{sentence}{hint}")))
    }
}

/// The sentence of an error response of the API.
pub(super) fn problem_detail(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ProblemDetail {
        detail: String,
    }
    let problem = serde_json::from_slice::<ProblemDetail>(body).ok()?;
    Some(problem.detail)
}

/// Reads a list page by page, at most `limit` items.
pub(super) struct PageReader<'a> {
    client: &'a AdminClient,
    path: &'static str,
    parameters: Vec<Parameter>,
    remaining: u64,
    next: NextPage,
}

/// Where the next page begins.
enum NextPage {
    First,
    After(String),
    End,
}

impl PageReader<'_> {
    /// The next page with its items; none after the last one.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, CliError> {
        let Some(body) = self.next_body().await? else {
            return Ok(None);
        };
        let page: ItemsPage<T> = parse(&body)?;
        self.advance(page.items.len(), page.next);
        Ok(Some(page.items))
    }

    /// The body of the next page. The caller parses it and says what it held.
    pub(super) async fn next_body(&self) -> Result<Option<Vec<u8>>, CliError> {
        let after = match &self.next {
            NextPage::First => None,
            NextPage::After(_) if self.remaining == 0 => return Ok(None),
            NextPage::After(cursor) => Some(("after", cursor.clone())),
            NextPage::End => return Ok(None),
        };
        let limit = self.remaining.clamp(1, u64::from(MAX_LIMIT));
        let mut parameters = self.parameters.clone();
        parameters.push(("limit", limit.to_string()));
        parameters.extend(after);
        let body = self.client.get(self.path, &parameters).await?;
        if matches!(self.next, NextPage::First) {
            show_switches(&body);
        }
        Ok(Some(body))
    }

    /// Moves past a page with this many items.
    pub(super) fn advance(&mut self, items: usize, next: Option<String>) {
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        self.remaining = self.remaining.saturating_sub(items);
        self.next = next.map_or(NextPage::End, NextPage::After);
    }

    /// Whether the list has more items than were read.
    pub(super) fn has_more(&self) -> bool {
        matches!(self.next, NextPage::After(_))
    }
}

/// Says on stderr what operators have stopped: it explains much of what a list shows.
fn show_switches(body: &[u8]) {
    #[derive(Deserialize)]
    struct Switches {
        #[serde(default)]
        switches: Vec<PauseView>,
    }
    let found = serde_json::from_slice(body);
    let Ok(Switches { switches }) = found else {
        return; // Not a list of this API; its parser says so.
    };
    for pause in switches {
        let stopped = match &*pause.kind {
            "deliveries" => "deliveries are stopped",
            "intake" => "intake is stopped",
            _ => continue,
        };
        let since = super::local_time::show(pause.paused_at);
        let line = format!(
            "{stopped} by {} since {since}: {}",
            pause.actor, pause.reason
        );
        print_notice(&line);
    }
}

/// Parses a response.
///
/// # Errors
/// When it is not a response of this API.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(body).map_err(|error| {
        let sentence = format!("the answer is not from the operators' API: {error}");
        CliError::Failed(sentence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::{ApiFixture, TestClient};
    use crate::api::view::CallbackView;

    fn client(server: &TestClient) -> AdminClient {
        let url = server.base.parse().unwrap();
        AdminClient::new(Some(url), &AdminConfig::default()).unwrap()
    }

    #[tokio::test]
    async fn a_list_is_read_over_all_its_pages_up_to_the_limit() {
        let fixture = ApiFixture::new().await;
        for _ in 0..5 {
            fixture.dead_letter("demo", "exhausted").await;
        }
        let server = fixture.serve(None, true);
        let client = client(&server);
        for (limit, expected, more) in [(1, 1, true), (5, 5, false), (9, 5, false)] {
            let mut pages = client.pages("/admin/v1/dead-letters", Vec::new(), limit);
            let mut found = 0;
            while let Some(items) = pages.next::<CallbackView>().await.unwrap() {
                found += items.len();
            }
            assert_eq!((found, pages.has_more()), (expected, more), "{limit}");
        }
        // The server may return smaller pages than requested.
        let mut pages = client.pages("/admin/v1/dead-letters", Vec::new(), 9);
        let mut ids = std::collections::HashSet::new();
        loop {
            let parameters = match &pages.next {
                NextPage::First => Vec::new(),
                NextPage::After(after) => vec![("after", after.clone())],
                NextPage::End => break,
            };
            let limit = ("limit", "2".to_owned());
            let parameters = [parameters, vec![limit]].concat();
            let body = client.get("/admin/v1/dead-letters", &parameters).await;
            let page: ItemsPage<CallbackView> = parse(&body.unwrap()).unwrap();
            ids.extend(page.items.iter().map(|callback| callback.request_id));
            pages.advance(page.items.len(), page.next);
        }
        assert_eq!(ids.len(), 5);
        drop(server);
        fixture.close().await;
    }

    #[tokio::test]
    async fn the_beginning_of_an_id_becomes_the_whole_id() {
        let fixture = ApiFixture::new().await;
        let letter = fixture.dead_letter("demo", "exhausted").await;
        let whole = letter.request_id.to_string();
        let server = fixture.serve(None, true);
        let client = client(&server);
        let beginning = whole.chars().take(13).collect();
        let nobodys = Uuid::max().to_string();
        let ids = client.whole_ids(vec![beginning, nobodys.clone()]).await;
        assert_eq!(ids.unwrap(), [whole, nobodys], "what is whole is taken");
        let unknown = client.whole_ids(vec!["ffffffff".to_owned()]).await;
        let sentence = unknown.unwrap_err().to_string();
        assert!(
            sentence.contains("no callback whose request_id begins with ffffffff"),
            "{sentence}"
        );
        drop(server);
        fixture.close().await;
    }

    #[tokio::test]
    async fn an_error_is_shown_by_its_sentence() {
        let fixture = ApiFixture::new().await;
        let server = fixture.serve(Some("secret"), true);
        let error = client(&server).get("/admin/v1/audit", &[]).await;
        let sentence = error.unwrap_err().to_string();
        assert!(sentence.contains("bearer token"), "{sentence}");
        assert!(
            sentence.ends_with("(set RINGBACK__ADMIN__TOKEN)"),
            "{sentence}"
        );
        drop(server);
        fixture.close().await;
        let config = AdminConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..AdminConfig::default()
        };
        let error = AdminClient::new(None, &config).err().unwrap();
        assert!(error.to_string().contains("--admin URL"), "{error}");
    }
}
