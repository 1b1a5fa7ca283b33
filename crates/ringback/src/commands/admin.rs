//! `ringback admin`: the operators' API, without a dispatcher.

use runtime::Loaded;

use super::start_log::log_settings;
use crate::app::role::ProcessRole;
use crate::app::settings::Settings;
use crate::app::{Additions, App, broker};
use crate::error::CommandError;

/// Runs the role until it is stopped.
///
/// # Errors
/// Settings that cannot be used, a port in use, or a part that ended unexpectedly.
pub(super) async fn run(loaded: &Loaded<Settings>) -> Result<(), CommandError> {
    let (settings, role) = (&loaded.settings, ProcessRole::Admin);
    broker::require_shared(&settings.broker, role)?;
    let mut app = App::start(loaded, role, Additions::default())?;
    let admin = app.serve_admin(settings)?;
    let mut health = app.serve_health(settings.dispatcher.listen)?;
    let mut metrics = app.serve_metrics(settings.metrics.listen)?;
    app.follow_settings();
    tracing::info!(
        address = %health.address, admin = %admin.address, metrics = %metrics.address,
        "admin is running; health is listening"
    );
    log_settings(loaded);
    let work = admin.serve("the operators' listener", &app.stop);
    let served = health.serve_while(metrics.serve_while(work)).await;
    app.close().await;
    served?;
    health.close().await?;
    metrics.close().await?;
    role.ended(app.stop.is_cancelled())
}
