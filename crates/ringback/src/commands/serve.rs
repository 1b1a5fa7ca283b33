//! `ringback serve`: ingress and dispatcher in one process, on the embedded store.

use runtime::Loaded;

use super::ingress::warn_of_auth;
use super::start_log::log_settings;
use crate::app::combined::Combined;
use crate::app::role::ProcessRole;
use crate::app::settings::Settings;
use crate::app::{Additions, App, broker};
use crate::error::CommandError;

/// Runs both roles until they are stopped.
///
/// # Errors
/// Settings that cannot be used, a data directory that another process uses, a port in use, or a
/// part that ended unexpectedly.
pub(super) async fn run(loaded: &Loaded<Settings>) -> Result<(), CommandError> {
    let (settings, role) = (&loaded.settings, ProcessRole::Serve);
    broker::require_embedded(&settings.broker)?;
    let mut app = App::start(loaded, role, Additions::default())?;
    warn_of_auth(settings);
    let combined = Combined::open(&mut app, settings)?;
    let mut metrics = app.serve_metrics(settings.metrics.listen)?;
    app.follow_settings();
    tracing::info!(
        address = %combined.ingress.address, admin = %combined.admin.address,
        metrics = %metrics.address, "ringback is running"
    );
    log_settings(loaded);
    let served = metrics.serve_while(combined.run(&app, settings)).await;
    app.close().await;
    served?;
    metrics.close().await?;
    role.ended(true)
}
