//! The registered apps, and the check of a request's key or signature.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::auth_error::AuthError;
use super::hmac::SignatureHeaders;
use super::keys::{KeyHash, MAX_CREDENTIALS, Secret};
use crate::limits::Rate;

/// How callers authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Not at all: the body's `app_id` is trusted.
    Open,
    /// By a key in the `Authorization` header.
    Bearer,
    /// By a signature over each request, as in Standard Webhooks.
    Hmac,
}

/// A registered app.
#[derive(Clone, Debug)]
pub struct RegisteredApp {
    /// Its `app_id`, as in request bodies.
    pub id: String,
    /// The hashes of its keys; two during a rotation.
    pub keys: Vec<KeyHash>,
    /// Its signing secrets; two during a rotation.
    pub secrets: Vec<Secret>,
    /// Its requests are rejected, even with a valid credential.
    pub disabled: bool,
    /// Its maximum rate of requests.
    pub rate: Option<Rate>,
    /// The maximum number of its requests in flight, in each ingress.
    pub max_in_flight: Option<u32>,
}

/// All registered apps, and how they authenticate.
#[derive(Debug)]
pub struct CallerRegistry {
    mode: AuthMode,
    timestamp_tolerance: Duration,
    apps: HashMap<String, RegisteredApp>,
    /// The app of each key, by a prefix of the key's hash.
    keys: HashMap<[u8; 8], (KeyHash, String)>,
    /// Dummy secret for unknown apps, so that verification takes the same time.
    dummy_secret: Secret,
}

/// Why an app cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerRegistryError {
    /// Another app has one of its keys.
    #[error("it has the key of another app")]
    SharedKey,
    /// Another app has one of its secrets.
    #[error("it has the secret of another app")]
    SharedSecret,
}

impl CallerRegistry {
    /// Registers apps. `timestamp_tolerance`: how far a signature's timestamp may be from now, and
    /// how long a signed request is remembered.
    ///
    /// # Errors
    /// The id of the app that has a credential of an earlier one, and which kind of credential.
    pub fn new(
        mode: AuthMode,
        timestamp_tolerance: Duration,
        apps: impl IntoIterator<Item = RegisteredApp>,
    ) -> Result<Self, (String, CallerRegistryError)> {
        let mut registry = Self {
            mode,
            timestamp_tolerance,
            apps: HashMap::new(),
            keys: HashMap::new(),
            dummy_secret: Secret::new([0x5A; 32].to_vec()),
        };
        for app in apps {
            registry.register(app)?;
        }
        Ok(registry)
    }

    /// A registry without apps: callers are neither authenticated nor limited.
    #[must_use]
    pub fn open() -> Self {
        Self {
            mode: AuthMode::Open,
            timestamp_tolerance: Duration::ZERO,
            apps: HashMap::new(),
            keys: HashMap::new(),
            dummy_secret: Secret::new(Vec::new()),
        }
    }

    fn register(&mut self, app: RegisteredApp) -> Result<(), (String, CallerRegistryError)> {
        let others = || self.apps.values().flat_map(|other| &other.secrets);
        let is_taken = |secret: &Secret| others().any(|other| other.same(secret));
        if app.secrets.iter().any(is_taken) {
            return Err((app.id, CallerRegistryError::SharedSecret));
        }
        for key in &app.keys {
            let other = self.keys.insert(key.prefix(), (*key, app.id.clone()));
            if other.is_some_and(|(_, id)| id != app.id) {
                return Err((app.id, CallerRegistryError::SharedKey));
            }
        }
        self.apps.insert(app.id.clone(), app);
        Ok(())
    }

    /// How callers authenticate.
    #[must_use]
    pub const fn mode(&self) -> AuthMode {
        self.mode
    }

    /// How far a signature's timestamp may be from now.
    #[must_use]
    pub const fn timestamp_tolerance(&self) -> Duration {
        self.timestamp_tolerance
    }

    /// The app of this id, whether authenticated or not.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&RegisteredApp> {
        self.apps.get(id)
    }

    /// How many apps are registered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.apps.len()
    }

    /// The app whose key is in the value of an `Authorization` header.
    ///
    /// # Errors
    /// [`AuthError::Missing`], [`AuthError::Malformed`], [`AuthError::Wrong`] or [`AuthError::Disabled`].
    pub fn verify_bearer(&self, authorization: Option<&str>) -> Result<&RegisteredApp, AuthError> {
        let key = authorization.and_then(bearer_token);
        let hash = KeyHash::of(key.unwrap_or_default().as_bytes());
        let (known, id) = match self.keys.get(&hash.prefix()) {
            Some((known, id)) => (*known, id.as_str()),
            None => (KeyHash::NONE, ""),
        };
        match (key, known.same(&hash), self.apps.get(id)) {
            (None, _, _) if authorization.is_none() => Err(AuthError::Missing),
            (None, _, _) => Err(AuthError::Malformed),
            (Some(_), true, Some(app)) => enabled(app),
            (Some(_), _, _) => Err(AuthError::Wrong),
        }
    }

    /// The app whose secret made the signature over `payload`, at `now` (Unix seconds).
    ///
    /// # Errors
    /// Any [`AuthError`] but [`AuthError::Replayed`] and [`AuthError::OtherApp`].
    pub fn verify_signature(
        &self,
        app_id: &str,
        headers: &SignatureHeaders<'_>,
        payload: &[u8],
        now: u64,
    ) -> Result<&RegisteredApp, AuthError> {
        if now.abs_diff(headers.timestamp()) > self.timestamp_tolerance.as_secs() {
            return Err(AuthError::Stale);
        }
        let app = self.apps.get(app_id);
        let secrets = app.map(|app| app.secrets.as_slice()).unwrap_or_default();
        // The same number of checks for every app, known or not.
        let mut authenticated = false;
        for index in 0..MAX_CREDENTIALS {
            let secret = secrets.get(index);
            let matches = headers.is_signed_with(secret.unwrap_or(&self.dummy_secret), payload);
            authenticated |= matches && secret.is_some();
        }
        match app {
            Some(app) if authenticated => enabled(app),
            _ => Err(AuthError::Wrong),
        }
    }
}

/// The token of an `Authorization` header of the scheme `Bearer` (RFC 6750).
#[must_use]
pub fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

const fn enabled(app: &RegisteredApp) -> Result<&RegisteredApp, AuthError> {
    if app.disabled {
        return Err(AuthError::Disabled);
    }
    Ok(app)
}

#[cfg(test)]
mod tests;
