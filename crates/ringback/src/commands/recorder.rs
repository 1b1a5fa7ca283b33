//! `ringback recorder`: writes records into the journal, and nothing else.

use runtime::Loaded;

use super::start_log::log_settings;
use crate::app::config_check::require_shared_journal;
use crate::app::role::ProcessRole;
use crate::app::settings::Settings;
use crate::app::{Additions, App, broker};
use crate::error::CommandError;

/// Runs the role until it is stopped.
///
/// # Errors
/// Settings that cannot be used or name no journal, a port in use, or a part that ended
/// unexpectedly.
pub(super) async fn run(loaded: &Loaded<Settings>) -> Result<(), CommandError> {
    let (settings, role) = (&loaded.settings, ProcessRole::Recorder);
    broker::require_shared(&settings.broker, role)?;
    require_shared_journal(settings, role.as_str())?;
    let mut app = App::start(loaded, role, Additions::default())?;
    let mut health = app.serve_health(settings.dispatcher.listen)?;
    let mut metrics = app.serve_metrics(settings.metrics.listen)?;
    app.follow_settings();
    let address = health.address;
    tracing::info!(
        %address, metrics = %metrics.address,
        "recorder is running; health is listening"
    );
    log_settings(loaded);
    let work = async {
        app.run_maintenance(settings).await;
        Ok(())
    };
    let served = health.serve_while(metrics.serve_while(work)).await;
    app.close().await;
    served?;
    health.close().await?;
    metrics.close().await?;
    role.ended(app.stop.is_cancelled())
}
