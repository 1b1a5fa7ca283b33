//! The address guards (SSRF guards) of the settings.

use delivery::auth::AuthMode;
use delivery::{AddressRule, Guard, Guards};
use ingress::AppConfig;
use runtime::ConfigError;

use super::settings::Settings;

/// The guard of all apps, and those of apps with their own rules. They allow `more` in addition to the
/// settings.
pub(crate) fn guards(settings: &Settings, more: &[AddressRule]) -> Guards {
    let base = &settings.guard;
    let guard = |own: &[AddressRule], https_only: bool| {
        let rules = base.allow.iter().chain(more).chain(own);
        Guard::new(rules.cloned().collect())
            .https_only(base.https_only || https_only)
            .denied_ports(base.denied_ports.clone())
    };
    let apps = settings.apps.iter().filter(|(_, app)| has_rules(app));
    let apps = apps.map(|(id, app)| {
        let guard = guard(&app.allow, app.https_only).allowlist(app.allowed_hosts.clone());
        (id.clone(), guard)
    });
    Guards::new(guard(&[], false), apps)
}

fn has_rules(app: &AppConfig) -> bool {
    !app.allow.is_empty() || !app.allowed_hosts.is_empty() || app.https_only
}

/// Refuses `apps.ID.allow` without authentication: anyone could name the app.
///
/// # Errors
/// The first app that has it, in the mode `open`.
pub(crate) fn refuse_allow_without_auth(
    settings: &Settings,
    mode: Option<AuthMode>,
) -> Result<(), ConfigError> {
    let app = settings.apps.iter().find(|(_, app)| !app.allow.is_empty());
    let (Some(AuthMode::Open), Some((id, _))) = (mode, app) else {
        return Ok(());
    };
    let reason = "with auth.mode = \"open\" anyone who names the app could use it (choose bearer \
                  or hmac, or open it to all in guard.allow)";
    Err(ConfigError::refused(&format!("apps.{id}.allow"), reason))
}
