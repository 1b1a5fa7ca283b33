//! `ringback ingress`: accepts callbacks.

use delivery::auth::AuthMode;
use ingress::AppConfig;
use runtime::Loaded;

use super::start_log::log_settings;
use crate::app::role::ProcessRole;
use crate::app::settings::Settings;
use crate::app::{Additions, App, broker};
use crate::error::CommandError;

/// Runs the role until it is stopped.
///
/// # Errors
/// Settings that cannot be used, a port in use, or a server that ended unexpectedly.
pub(super) async fn run(loaded: &Loaded<Settings>) -> Result<(), CommandError> {
    let (settings, role) = (&loaded.settings, ProcessRole::Ingress);
    broker::require_shared(&settings.broker, role)?;
    let mut app = App::start(loaded, role, Additions::default())?;
    warn_of_auth(settings);
    let ingress = app.serve_ingress(settings)?;
    let mut metrics = app.serve_metrics(settings.metrics.listen)?;
    app.follow_settings();
    tracing::info!(
        address = %ingress.address, metrics = %metrics.address, "ingress is listening"
    );
    log_settings(loaded);
    // Ends after the last response: only then may journal and broker close.
    let serving = ingress.serve(role.as_str(), &app.stop);
    let served = metrics.serve_while(serving).await;
    app.close().await;
    served?;
    metrics.close().await?;
    role.ended(true)
}

/// Warns of the mode `open`, which may have been set by mistake, and of a mode that refuses every caller.
pub(super) fn warn_of_auth(settings: &Settings) {
    let has = |listed: fn(&AppConfig) -> bool| settings.apps.values().any(listed);
    let missing = match settings.auth.mode {
        Some(AuthMode::Open) => {
            tracing::warn!("auth.mode is open: everyone who reaches the port is trusted");
            return;
        }
        Some(AuthMode::Bearer) if !has(|app| !app.keys.is_empty()) => "keys",
        Some(AuthMode::Hmac) if !has(|app| !app.secrets.is_empty()) => "secrets",
        _ => return,
    };
    tracing::warn!(
        setting = format!("apps.ID.{missing}"),
        "no app has {missing}: every caller is refused; `ringback key APP` makes one"
    );
}
