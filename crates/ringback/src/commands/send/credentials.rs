//! How a request of `ringback send` proves which app sends it.

use delivery::signature::Signer;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::RequestBuilder;
use runtime::SecretRef;
use runtime::clock::now_ms;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::error::CommandError;

/// What cannot stand in `x-callback-app-id`.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

const KEY_VARIABLE: &str = "RINGBACK_KEY";
const SECRET_VARIABLE: &str = "RINGBACK_SECRET";

/// What the requests bear.
#[derive(Debug)]
pub(super) enum CallerCredentials {
    /// Nothing: `auth.mode` is `open`.
    None,
    Bearer(SecretString),
    /// Signatures of this app.
    Signed {
        app_id: String,
        signer: Signer,
    },
}

impl CallerCredentials {
    /// Those of the command line, or of the environment.
    ///
    /// # Errors
    /// A file or variable cannot be read, or it holds no secret.
    pub(super) fn read(
        key: Option<&str>,
        secret: Option<&str>,
        app_id: &str,
    ) -> Result<Self, CommandError> {
        let given = |variable: &str| std::env::var(variable).ok().filter(|text| !text.is_empty());
        let (key, secret) = match (key, secret) {
            (None, None) => (given(KEY_VARIABLE), given(SECRET_VARIABLE)),
            (key, secret) => (key.map(str::to_owned), secret.map(str::to_owned)),
        };
        Self::of(key.as_deref(), secret.as_deref(), app_id).map_err(CommandError::Failed)
    }

    fn of(key: Option<&str>, secret: Option<&str>, app_id: &str) -> Result<Self, String> {
        let read = |what: &str, text: &str| {
            let value = SecretRef::new(text).read();
            value.map_err(|reason| format!("the {what} cannot be used: {reason}"))
        };
        match (key, secret) {
            (None, None) => Ok(Self::None),
            (Some(key), None) => Ok(Self::Bearer(read("key", key)?)),
            (None, Some(secret)) => {
                let secret = read("secret", secret)?;
                let signer = Signer::parse([secret.expose_secret()]);
                Ok(Self::Signed {
                    app_id: app_id.to_owned(),
                    signer: signer
                        .map_err(|reason| format!("the secret cannot be used: {reason}"))?,
                })
            }
            (Some(_), Some(_)) => Err(format!(
                "give a key or a secret, not both: {KEY_VARIABLE} and {SECRET_VARIABLE} are set"
            )),
        }
    }

    /// The request with what proves its app. `payload`: the body, or method and path without one.
    pub(super) fn add_to(&self, request: RequestBuilder, payload: &[u8]) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Bearer(key) => request.bearer_auth(key.expose_secret()),
            Self::Signed { app_id, signer } => {
                // New for each request: one that was sent before is refused.
                let id = format!("send-{}", Uuid::now_v7().simple());
                let timestamp = now_ms() / 1_000;
                request
                    .header(
                        "x-callback-app-id",
                        utf8_percent_encode(app_id, ENCODED).to_string(),
                    )
                    .header("webhook-signature", signer.sign(&id, timestamp, payload))
                    .header("webhook-timestamp", timestamp)
                    .header("webhook-id", id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use delivery::auth::Secret;

    use super::*;

    #[test]
    fn a_request_bears_a_key_or_a_new_signature() {
        runtime::telemetry::install_crypto();
        let secret = Secret::text(&[7; 32]);
        let client = reqwest::Client::new();
        let headers = |credentials: &CallerCredentials| {
            let request = credentials.add_to(client.post("http://h.example/"), b"{}");
            request.build().unwrap().headers().clone()
        };
        assert!(headers(&CallerCredentials::of(None, None, "crm").unwrap()).is_empty());
        let bearer = headers(&CallerCredentials::of(Some("rbk_1"), None, "crm").unwrap());
        assert_eq!(bearer["authorization"], "Bearer rbk_1");
        let signed = CallerCredentials::of(None, Some(&secret), "c m乐%").unwrap();
        let (one, two) = (headers(&signed), headers(&signed));
        assert_eq!(one["x-callback-app-id"], "c%20m%E4%B9%90%25");
        assert_ne!(one["webhook-id"], two["webhook-id"]);
        let id = one["webhook-id"].to_str().unwrap();
        let timestamp = one["webhook-timestamp"].to_str().unwrap().parse().unwrap();
        let expected = Signer::parse([&*secret])
            .unwrap()
            .sign(id, timestamp, b"{}");
        assert_eq!(one["webhook-signature"], *expected);
    }

    #[test]
    fn credentials_that_cannot_be_used_are_refused_without_showing_them() {
        for (key, secret, words) in [
            (Some("k"), Some("whsec_x"), "not both"),
            (None, Some("s3cret"), "the secret cannot be used"),
            (Some("file:/no/such/file"), None, "the key cannot be used"),
        ] {
            let sentence = CallerCredentials::of(key, secret, "crm").unwrap_err();
            assert!(sentence.contains(words), "{sentence}");
            assert!(!sentence.contains("s3cret"), "{sentence}");
        }
    }
}
