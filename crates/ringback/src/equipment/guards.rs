//! Which address guards do the settings describe?

use std::fmt::Display;
use std::str::FromStr;

use boot::SettingsError;
use boot::settings::{AuthMode, Settings};
use delivery::{Entry, Guard, Guards, Ports};

/// What the settings say of all guards, checked.
#[derive(Debug)]
pub(crate) struct GuardRules {
    allow: Vec<Entry>,
    https_only: bool,
    closed_ports: Vec<Ports>,
    /// Of the apps that have some of their own.
    apps: Vec<(String, AppRules)>,
}

#[derive(Debug)]
struct AppRules {
    allow: Vec<Entry>,
    only: Vec<Entry>,
    https_only: bool,
}

impl GuardRules {
    /// Reads what the settings say.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub(crate) fn read(settings: &Settings) -> Result<Self, SettingsError> {
        if settings.auth.mode == Some(AuthMode::Open) {
            need_proof(settings)?;
        }
        let own = |(id, app): (&String, &boot::settings::AppSettings)| {
            let rules = AppRules {
                allow: parsed(&format!("apps.{id}.allow"), &app.allow)?,
                only: parsed(&format!("apps.{id}.only"), &app.only)?,
                https_only: app.https_only,
            };
            Ok((id.clone(), rules))
        };
        let apps = settings.apps.iter();
        let apps =
            apps.filter(|(_, app)| !app.allow.is_empty() || !app.only.is_empty() || app.https_only);
        Ok(Self {
            allow: parsed("guard.allow", &settings.guard.allow)?,
            https_only: settings.guard.https_only,
            closed_ports: parsed("guard.closed_ports", &settings.guard.closed_ports)?,
            apps: apps.map(own).collect::<Result<_, SettingsError>>()?,
        })
    }

    /// The guards, with `more` open beside what the settings open.
    pub(crate) fn guards(&self, more: &[Entry]) -> Guards {
        let guard = |own: &[Entry], https_only: bool| {
            let all = self.allow.iter().chain(more).chain(own);
            Guard::new(all.cloned().collect())
                .https_only(self.https_only || https_only)
                .closed_ports(self.closed_ports.clone())
        };
        let apps = self.apps.iter().map(|(id, app)| {
            let guard = guard(&app.allow, app.https_only).only(app.only.clone());
            (id.clone(), guard)
        });
        Guards::new(guard(&[], false), apps)
    }
}

/// Refuses openings of an app where whoever names the app is believed.
///
/// # Errors
/// The first app that has some.
pub(crate) fn need_proof(settings: &Settings) -> Result<(), SettingsError> {
    let Some((id, _)) = settings.apps.iter().find(|(_, app)| !app.allow.is_empty()) else {
        return Ok(());
    };
    let reason = "with auth.mode = \"open\" everybody who names the app could use it (choose bearer \
                  or hmac, or open it to all in guard.allow)";
    Err(SettingsError::refused(&format!("apps.{id}.allow"), reason))
}

/// Reads each text as an entry, or names the key.
///
/// # Errors
/// The first text that is none.
pub(crate) fn parsed<T: FromStr<Err: Display>>(
    key: &str,
    texts: &[String],
) -> Result<Vec<T>, SettingsError> {
    let refused = |error| SettingsError::refused(key, error);
    texts
        .iter()
        .map(|text| text.parse().map_err(refused))
        .collect()
}
