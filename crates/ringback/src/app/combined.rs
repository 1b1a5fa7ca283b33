//! Ingress and dispatcher in one process.

use dispatcher::Dispatcher;

use super::app::{App, Listener};
use super::settings::Settings;
use crate::error::CommandError;

/// Ingress, dispatcher and the operators' API, open. Bare health pages are on ingress.
pub(crate) struct Combined {
    pub(crate) ingress: Listener,
    pub(crate) admin: Listener,
    dispatcher: Dispatcher,
}

impl Combined {
    /// Builds the dispatcher, and opens ingress and the operators' API.
    ///
    /// # Errors
    /// A client that cannot be built, or a port in use.
    pub(crate) fn open(app: &mut App, settings: &Settings) -> Result<Self, CommandError> {
        let dispatcher = app.dispatcher(settings)?;
        Ok(Self {
            ingress: app.serve_ingress(settings)?,
            admin: app.serve_admin(settings)?,
            dispatcher,
        })
    }

    /// Serves until the stop, and until all parts have ended gracefully.
    ///
    /// # Errors
    /// When ingress or the operators' API ended earlier.
    pub(crate) async fn run(self, app: &App, settings: &Settings) -> Result<(), CommandError> {
        let (ingress, admin, (), ()) = tokio::join!(
            self.ingress.serve("ingress", &app.stop),
            self.admin.serve("the operators' listener", &app.stop),
            self.dispatcher.run(app.stop.clone()),
            app.run_maintenance(settings)
        );
        ingress.and(admin)
    }
}
