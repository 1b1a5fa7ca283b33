//! `ringback ingress`: accepts callbacks.

use delivery::auth::AuthMode;
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
    warn_if_open(settings);
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

/// Warns of the mode `open`: it may have been set by mistake.
pub(super) fn warn_if_open(settings: &Settings) {
    if settings.auth.mode == Some(AuthMode::Open) {
        tracing::warn!("auth.mode is open: everyone who reaches the port is trusted");
    }
}
