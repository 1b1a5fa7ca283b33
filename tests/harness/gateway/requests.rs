//! Requests about a callback, by its caller or by an operator.

use reqwest::Method;
use serde_json::Value;

use super::{Gateway, GatewayResponse};

impl Gateway<'_> {
    /// Queries a callback.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn query(&self, id: &str) -> GatewayResponse {
        self.ask(Method::GET, id, &[]).await
    }

    /// Cancels a callback.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn cancel(&self, id: &str) -> GatewayResponse {
        self.ask(Method::DELETE, id, &[]).await
    }

    /// Sends a request about a callback, with these headers.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask(&self, method: Method, id: &str, headers: &[(&str, &str)]) -> GatewayResponse {
        let url = format!("{}/{id}", self.callback_url());
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answered(request).await
    }

    /// The base URL of the operators' API.
    pub fn admin_url(&self) -> String {
        let instance = self.dispatchers.first().unwrap_or(&self.ingress);
        format!("http://{}", instance.admin)
    }

    /// The operators' API's answer at this path, which must be 200. With a body the request is a
    /// POST.
    ///
    /// # Panics
    /// When there is no such answer.
    pub async fn admin(&self, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.admin_url());
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

async fn answered(request: reqwest::RequestBuilder) -> GatewayResponse {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.expect("a whole answer");
    GatewayResponse {
        status,
        headers,
        body,
    }
}
