//! How does a test ask what became of a callback? As its caller, or as an operator.

use reqwest::Method;
use serde_json::Value;

use super::{Answered, Gateway};

impl Gateway<'_> {
    /// Asks what became of a callback.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn query(&self, id: &str) -> Answered {
        self.ask(Method::GET, id, &[]).await
    }

    /// Withdraws a callback.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn withdraw(&self, id: &str) -> Answered {
        self.ask(Method::DELETE, id, &[]).await
    }

    /// Asks about a callback with these headers.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask(&self, method: Method, id: &str, headers: &[(&str, &str)]) -> Answered {
        let url = format!("{}/{id}", self.callback_url());
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answered(request).await
    }

    /// Where operators ask.
    pub fn operators_url(&self) -> String {
        let door = self.dispatchers.first().unwrap_or(&self.ingress);
        format!("http://{}", door.operators)
    }

    /// What operators are answered at this path, with 200; with a body it is a POST.
    ///
    /// # Panics
    /// When there is no such answer.
    pub async fn operators(&self, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.operators_url());
        let request = match body {
            None => self.client.get(url),
            Some(body) => {
                let request = self.client.post(url).body(body.to_string());
                request.header("content-type", "application/json")
            }
        };
        let answered = answered(request).await;
        assert_eq!(answered.status, 200, "{path}: {answered:?}");
        answered.json()
    }
}

async fn answered(request: reqwest::RequestBuilder) -> Answered {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.expect("a whole answer");
    Answered {
        status,
        headers,
        body,
    }
}
