//! Who may send callbacks, and is a request really theirs?
//!
//! Every caller is an *app*. A request proves its app by a key that it shows (`key.rs`) or by a
//! signature that it bears (`signed.rs`); what was signed once is not taken twice (`seen.rs`).
//! Nothing here tells an unknown app from a wrong key: neither the answer nor the work done.

mod key;
mod seen;
mod signed;

use std::collections::HashMap;
use std::time::Duration;

pub use key::{KeyHash, Secret, SecretFlaw};
pub use seen::{Seen, SeenFlaw};
pub use signed::Signed;

use crate::limits::Rate;

/// How callers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all: the body's `app_id` is believed.
    Open,
    /// By a key in the `Authorization` header.
    Bearer,
    /// By a signature over each request, in the form of Standard Webhooks.
    Hmac,
}

/// A registered app.
#[derive(Clone, Debug)]
pub struct App {
    /// Its `app_id`, as it stands in the bodies.
    pub id: String,
    /// The hashes of its keys; two while they are being changed.
    pub keys: Vec<KeyHash>,
    /// Its signing secrets; two while they are being changed.
    pub secrets: Vec<Secret>,
    /// Proven or not, it is turned away.
    pub disabled: bool,
    /// How fast it may ask, if that is limited.
    pub rate: Option<Rate>,
    /// How many of its requests one ingress has in hand at a time, if that is limited.
    pub quota: Option<u32>,
}

/// All registered apps, and how they prove themselves.
#[derive(Debug)]
pub struct Callers {
    mode: Mode,
    window: Duration,
    apps: HashMap<String, App>,
    /// The app of each key, by the beginning of the key's hash.
    keys: HashMap<[u8; 8], (KeyHash, String)>,
    /// Of nobody's. It is worked with where there is none, so that this takes as long.
    nobody: Secret,
}

/// Why a request is turned away. Its caller is told which of the two answers it is, nothing more;
/// the rest is for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A credential is missing or is none.
    Missing,
    /// No app has this key; the app is unknown, or none of its secrets made this signature.
    Wrong,
    /// The signature is older, or younger, than the window.
    Stale,
    /// This very request was here before.
    Replayed,
    /// The app is disabled.
    Disabled,
    /// The body names another app than the one proven.
    OtherApp,
}

impl Refused {
    /// One word, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Disabled => "disabled",
            Self::OtherApp => "other_app",
        }
    }

    /// Whether who it is was proven all the same: then it is "you may not" instead of "who are you?".
    #[must_use]
    pub const fn is_proven(self) -> bool {
        matches!(self, Self::Disabled | Self::OtherApp)
    }
}

/// Why apps cannot be registered like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallersError {
    /// Whoever bears it would be two apps.
    #[error("it has the key of another app")]
    SharedKey,
    /// Whoever signs with it would be two apps.
    #[error("it has the secret of another app")]
    SharedSecret,
}

impl Callers {
    /// Registers apps. `window`: how far a signature's time may lie from now, and for how long a
    /// request that was signed is remembered.
    ///
    /// # Errors
    /// The app that cannot be told from an earlier one, and why.
    pub fn new(
        mode: Mode,
        window: Duration,
        apps: impl IntoIterator<Item = App>,
    ) -> Result<Self, (String, CallersError)> {
        let mut callers = Self {
            mode,
            window,
            apps: HashMap::new(),
            keys: HashMap::new(),
            nobody: Secret::new([0x5A; 32].to_vec()),
        };
        for app in apps {
            callers.register(app)?;
        }
        Ok(callers)
    }

    /// Nobody is asked who they are, and nobody is limited.
    #[must_use]
    pub fn open() -> Self {
        Self {
            mode: Mode::Open,
            window: Duration::ZERO,
            apps: HashMap::new(),
            keys: HashMap::new(),
            nobody: Secret::new(Vec::new()),
        }
    }

    fn register(&mut self, app: App) -> Result<(), (String, CallersError)> {
        let others = || self.apps.values().flat_map(|it| &it.secrets);
        if app
            .secrets
            .iter()
            .any(|it| others().any(|own| own.same(it)))
        {
            return Err((app.id, CallersError::SharedSecret));
        }
        for key in &app.keys {
            let taken = self.keys.insert(key.begin(), (*key, app.id.clone()));
            if taken.is_some_and(|(_, id)| id != app.id) {
                return Err((app.id, CallersError::SharedKey));
            }
        }
        self.apps.insert(app.id.clone(), app);
        Ok(())
    }

    /// How callers prove who they are.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// How far a signature's time may lie from now.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// The app of this id, proven or not.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&App> {
        self.apps.get(id)
    }

    /// How many apps are registered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.apps.len()
    }

    /// The app that the value of an `Authorization` header proves.
    ///
    /// # Errors
    /// [`Refused::Missing`], [`Refused::Wrong`] or [`Refused::Disabled`].
    pub fn bearer(&self, authorization: Option<&str>) -> Result<&App, Refused> {
        let shown = authorization.and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
        let hash = KeyHash::of(shown.unwrap_or_default().as_bytes());
        let (known, id) = match self.keys.get(&hash.begin()) {
            Some((known, id)) => (*known, id.as_str()),
            None => (KeyHash::NOBODY, ""),
        };
        match (shown, known.same(&hash), self.apps.get(id)) {
            (None, _, _) => Err(Refused::Missing),
            (Some(_), true, Some(app)) => enabled(app),
            (Some(_), _, _) => Err(Refused::Wrong),
        }
    }

    /// The app whose secret made the signature over `payload`, at `now` (Unix seconds).
    ///
    /// # Errors
    /// Any [`Refused`] but [`Refused::Replayed`] and [`Refused::OtherApp`].
    pub fn signature(
        &self,
        app_id: &str,
        signed: &Signed<'_>,
        payload: &[u8],
        now: u64,
    ) -> Result<&App, Refused> {
        if now.abs_diff(signed.timestamp()) > self.window.as_secs() {
            return Err(Refused::Stale);
        }
        let app = self.apps.get(app_id);
        let secrets = app.map(|app| app.secrets.as_slice()).unwrap_or_default();
        // As many for everybody, whoever it is.
        let mut proven = false;
        for place in 0..MOST_CREDENTIALS {
            let secret = secrets.get(place);
            let made = signed.made_with(secret.unwrap_or(&self.nobody), payload);
            proven |= made && secret.is_some();
        }
        match app {
            Some(app) if proven => enabled(app),
            _ => Err(Refused::Wrong),
        }
    }
}

/// The most keys, and secrets, that an app has at a time.
pub const MOST_CREDENTIALS: usize = 2;

const fn enabled(app: &App) -> Result<&App, Refused> {
    if app.disabled {
        return Err(Refused::Disabled);
    }
    Ok(app)
}

#[cfg(test)]
mod tests;
