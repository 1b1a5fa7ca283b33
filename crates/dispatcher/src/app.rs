//! What holds for the callbacks of one app?

use crate::lines::Line;
use crate::signing;
use boot::SettingsError;
use boot::settings::Settings;
use delivery::signature::Signing;
use delivery::{Guard, Guards};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An app, as the settings have it. Those that have nothing of their own share one.
pub(crate) struct App {
    /// Judges its URLs.
    pub(crate) guard: Arc<Guard>,
    /// Goes only where the guard lets it.
    pub(crate) line: Arc<Line>,
    /// What signs its callbacks, if anything does.
    pub(crate) signing: Option<Arc<Signing>>,
}

impl App {
    /// What holds for an app with nothing of its own but, perhaps, what signs its callbacks.
    pub(crate) fn new(
        id: &str,
        settings: &Settings,
        guard: &Arc<Guard>,
        line: Arc<Line>,
    ) -> Result<Self, SettingsError> {
        let app = settings.apps.get(id);
        let secrets = app.map(|app| &*app.signing_secrets).unwrap_or_default();
        Ok(Self {
            guard: Arc::clone(guard),
            line,
            signing: signing::read(&format!("apps.{id}"), secrets)?,
        })
    }
}

/// The apps that have something of their own.
pub(crate) fn own<'a>(settings: &'a Settings, guards: &'a Guards) -> BTreeSet<&'a str> {
    let signed = settings.apps.iter();
    let signed = signed.filter(|(_, app)| !app.signing_secrets.is_empty());
    let guarded = guards.apps().map(|(id, _)| id);
    signed.map(|(id, _)| id.as_str()).chain(guarded).collect()
}
