//! The ingress's answer to a request.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// The ingress's answer to a request.
#[derive(Debug, Clone)]
pub struct GatewayResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl GatewayResponse {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }

    /// The field `code`.
    ///
    /// # Panics
    /// When there is none.
    pub fn code(&self) -> String {
        self.text("code").expect("a code")
    }

    /// The field `request_id`, if there is one.
    pub fn request_id(&self) -> Option<String> {
        self.text("request_id")
    }

    /// The request id of an accepted callback.
    ///
    /// # Panics
    /// When the answer is not HTTP 200 with code `000` and an id.
    pub fn accepted(&self) -> String {
        let seen = String::from_utf8_lossy(&self.body);
        assert!(
            self.status == 200 && self.code() == "000",
            "{}: {seen}",
            self.status
        );
        self.request_id()
            .unwrap_or_else(|| panic!("no request_id: {seen}"))
    }

    fn text(&self, field: &str) -> Option<String> {
        self.json()
            .get(field)
            .and_then(Value::as_str)
            .map(str::to_owned)
    }
}
