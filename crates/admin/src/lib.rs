//! The operators' HTTP API (list and cancel callbacks, replay dead letters, pause targets), and the
//! commands that call it.
//!
//! - `config.rs`: the sections `admin` and `dead_letters` of the settings.
//! - `api/`: the server. Start at `api/routes.rs`, the table of routes;
//!   `docs/reference/operators-api.md` documents each of them.
//! - `console/`: pages for operators, on the same listener.
//! - `control/`: the control plane, by which all processes are asked.
//! - `doctor/`: the checks of `ringback doctor`, without I/O.
//! - `guard_check.rs`: the decision of `ringback guard`.
//! - `shown.rs`: masks of payloads and links to traces, by the settings.
//! - `cli/`: the commands (`ringback dead-letters`, `callback`, `pause`, ...). They call the API of a
//!   running process, because that process locks the embedded store and its journal.

mod api;
pub mod cli;
mod config;
mod console;
mod control;
pub mod doctor;
mod guard_check;
mod shown;

pub use api::{
    AdminDependencies, AdminMetrics, AdminTokens, DoctorSources, Reconciler, SettingsSource,
    openapi, routes_table, serve,
};
pub use config::{AdminConfig, DeadLettersConfig, Role, Roles, TokenConfig};
pub use control::{ControlPlane, Responder};
pub use guard_check::{AddressDecision, GuardQuestion, GuardReport, GuardRules};
pub use shown::PayloadMask;
