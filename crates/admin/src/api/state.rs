//! The state of the request handlers, and what it is built from.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use delivery::CalleeRegistry;
use dispatcher::PauseRegistry;
use journal::Journal;
use runtime::http::HttpLimits;
use runtime::{Reloadable, SettingsShown};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::auth::AdminTokens;
use super::doctor::history::DepthHistory;
use super::doctor::sources::DoctorSources;
use super::error::ApiError;
use super::metrics::AdminMetrics;
use super::operations::registry::Operations;
use super::reconcile::ReconcileRequests;
use super::request_ids::WrittenId;
use crate::control::ControlPlane;
use crate::guard_check::GuardRules;
use crate::shown::ShownToOperators;

/// What the operators' API needs from the process it runs in.
pub struct AdminDependencies {
    /// Replays are published to it, and dead letters are read from it.
    pub broker: Broker,
    /// Without a journal most requests are answered 501.
    pub journal: Option<Journal>,
    /// The registered callees.
    pub callee_registry: Reloadable<CalleeRegistry>,
    /// How long the journal keeps callbacks that have ended (`journal.retention`).
    pub retention: Duration,
    /// How long dead letters are kept (`dead_letters.retention`).
    pub dead_letter_retention: Duration,
    /// The pauses in force.
    pub pauses: PauseRegistry,
    /// Asks all processes.
    pub control: ControlPlane,
    /// Whether this process takes callbacks from callers: without a journal, only its own intake can be
    /// stopped.
    pub has_ingress: bool,
    /// What the checks of `/admin/v1/doctor` look at.
    pub doctor: DoctorSources,
    /// Which targets may be called.
    pub guard_rules: Reloadable<GuardRules>,
    /// The bounds of the listener.
    pub http: HttpLimits,
    /// What the listener counts.
    pub metrics: AdminMetrics,
    /// Who may send requests: set when the listener opens, and replaced by reloads.
    pub tokens: Reloadable<AdminTokens>,
    /// The settings of this process, for people.
    pub settings: SettingsSource,
}

/// Shows the settings in force.
pub type SettingsSource = Arc<dyn Fn() -> SettingsShown + Send + Sync>;

/// The state of the request handlers.
pub(crate) struct AdminState {
    pub(super) broker: Broker,
    pub(crate) journal: Option<Journal>,
    pub(super) callee_registry: Reloadable<CalleeRegistry>,
    pub(crate) pauses: PauseRegistry,
    pub(super) control: ControlPlane,
    pub(super) has_ingress: bool,
    /// One request at a time reads the unreadable messages: it holds them meanwhile.
    pub(super) unreadable: Arc<Mutex<()>>,
    pub(crate) doctor: DoctorSources,
    pub(super) guard_rules: Reloadable<GuardRules>,
    pub(super) depth_history: DepthHistory,
    /// Asks to reconcile the dead letters soon.
    pub(super) reconcile_requested: Arc<ReconcileRequests>,
    /// The process's runtime. Connections to broker and journal are opened on it, because actix's own
    /// runtimes end with the server.
    /// Acts on many callbacks that this process works through.
    pub(crate) operations: Operations,
    pub(crate) settings: SettingsSource,
    /// What operators are shown, by the settings.
    pub(crate) shown: ShownToOperators,
    pub(super) runtime: Handle,
}

impl AdminState {
    pub(crate) fn journal(&self) -> Result<Journal, ApiError> {
        self.journal.clone().ok_or(ApiError::NoJournal)
    }

    /// Reads an id in a path: whole, or its first digits.
    ///
    /// # Errors
    /// It is not an id, or not one id begins like this.
    pub(crate) async fn request_id(&self, text: &str) -> Result<Uuid, ApiError> {
        match WrittenId::parse(text).map_err(ApiError::parameter)? {
            // Needs no journal.
            WrittenId::Whole(id) => Ok(id),
            beginning @ WrittenId::Beginning(_) => {
                let journal = self.journal()?;
                self.run(async move { beginning.resolve(&journal).await })
                    .await
            }
        }
    }

    /// The ids that are written like this: one, or at most `limit` that begin like it, in order.
    ///
    /// # Errors
    /// It is not an id, or no id begins like this.
    pub(crate) async fn request_ids(&self, text: &str, limit: u32) -> Result<Vec<Uuid>, ApiError> {
        match WrittenId::parse(text).map_err(ApiError::parameter)? {
            WrittenId::Whole(id) => Ok(vec![id]),
            WrittenId::Beginning(beginning) => {
                let journal = self.journal()?;
                let reading = async move { beginning.candidates(&journal, limit).await };
                self.run(reading).await
            }
        }
    }

    /// Runs work to its end, even if the client disconnects: a replay must not stop halfway.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.runtime.spawn(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "admin request panicked");
            Err(ApiError::Internal)
        })
    }
}
