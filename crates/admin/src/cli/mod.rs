//! The operators' commands. Each is a client of the operators' API of a running process.
//!
//! - `args.rs`: the command line. Start here.
//! - `client.rs`: sends requests and follows cursors. `http.rs`: HTTP clients, and how addresses and
//!   errors are shown.
//! - `callbacks.rs`: `callback` and `dead-letters` (list, show, cancel one, reconcile);
//!   `bulk_callbacks.rs`: what acts on many; `bulk.rs`: works through it step by step;
//!   `bulk_report.rs`: says what is done; `estimate.rs`: until when; `recover.rs`: `recover`; `pauses.rs`: `pause`, `resume`,
//!   `pauses`; `instances.rs`, `targets.rs`, `apps.rs`, `reload.rs`, `tail.rs`: what all processes say; `unreadable.rs`:
//!   `unreadable`; `audit.rs`: `audit`; `stats.rs`: `stats`; `doctor.rs`: `doctor`;
//!   `guard.rs`: asks a running process for `guard`.
//! - `callers_report.rs`: a callback as its caller sees it, for `ringback send`
//! - `list.rs`, `seen.rs`, `table.rs`, `timeline.rs`, `payload.rs`, `local_time.rs`, `stdout.rs`: how
//!   results are
//!   shown. `user.rs`: who runs the
//!   command. `error.rs`: why it failed.

mod apps;
mod args;
mod audit;
mod bulk;
mod bulk_callbacks;
mod bulk_report;
mod callbacks;
mod callers_report;
mod client;
pub mod doctor;
mod error;
mod estimate;
pub mod guard;
pub mod http;
mod instances;
mod list;
mod local_time;
mod pauses;
mod payload;
mod recover;
mod reload;
mod seen;
mod stats;
pub mod stdout;
mod table;
mod tail;
mod targets;
mod timeline;
mod unreadable;
mod user;

pub use args::AdminCommand;
use args::{CallbackCommand, DeadLettersCommand, UnreadableCommand};
use bulk_report::BulkOperation;
pub use callers_report::render_report;
pub use error::CliError;
pub use local_time::set_time_zone;
use unreadable::UnreadableOperation;
pub use user::host_name;

use crate::config::AdminConfig;

/// Runs a command. Without `--admin URL` it calls the API at `admin.listen`, with `admin.token`.
///
/// # Errors
/// No answer, or an error response, in one sentence.
pub async fn run(command: AdminCommand, config: &AdminConfig) -> Result<(), CliError> {
    match command {
        AdminCommand::DeadLetters(DeadLettersCommand::List(args)) => {
            callbacks::list_dead_letters(args, config).await
        }
        AdminCommand::DeadLetters(DeadLettersCommand::Show(args)) => {
            callbacks::show_dead_letter(args, config).await
        }
        AdminCommand::DeadLetters(DeadLettersCommand::Replay(args)) => {
            bulk_callbacks::dead_letters(BulkOperation::ReplayDead, args, config).await
        }
        AdminCommand::DeadLetters(DeadLettersCommand::Discard(args)) => {
            bulk_callbacks::dead_letters(BulkOperation::Discard, args, config).await
        }
        AdminCommand::DeadLetters(DeadLettersCommand::Reconcile(args)) => {
            callbacks::reconcile(args, config).await
        }
        AdminCommand::Callback(CallbackCommand::List(args)) => callbacks::list(args, config).await,
        AdminCommand::Callback(CallbackCommand::Show(args)) => callbacks::show(args, config).await,
        AdminCommand::Callback(CallbackCommand::RetryNow(args)) => {
            bulk_callbacks::run(BulkOperation::RetryNow, args, config).await
        }
        AdminCommand::Callback(CallbackCommand::Cancel(args)) => match args.ids.as_slice() {
            [id] if !args.step.dry_run => {
                let reason = args.step.reason.unwrap_or_default();
                callbacks::cancel(id, &reason, args.step.api, config).await
            }
            _ => bulk_callbacks::run(BulkOperation::Cancel, args, config).await,
        },
        AdminCommand::Callback(CallbackCommand::Replay(args)) => {
            bulk_callbacks::run(BulkOperation::Replay, args, config).await
        }
        AdminCommand::Expedite(args) => bulk_callbacks::expedite(args, config).await,
        AdminCommand::Recover(args) => recover::run(args, config).await,
        AdminCommand::Erase(args) => bulk_callbacks::erase(args, config).await,
        AdminCommand::Pause(args) => pauses::pause(args, config).await,
        AdminCommand::Resume(args) => pauses::resume(args, config).await,
        AdminCommand::Pauses(args) => pauses::list(args, config).await,
        AdminCommand::Instances(args) => instances::list(args, config).await,
        AdminCommand::Reload(args) => reload::reload(args, config).await,
        AdminCommand::Targets(args) => targets::list(args, config).await,
        AdminCommand::Apps(args) => apps::list(args, config).await,
        AdminCommand::Stats(args) => stats::show(args, config).await,
        AdminCommand::Tail(args) => tail::run(args, config).await,
        AdminCommand::Unreadable(UnreadableCommand::List(args)) => {
            unreadable::list(args, config).await
        }
        AdminCommand::Unreadable(UnreadableCommand::Show(args)) => {
            unreadable::show(args, config).await
        }
        AdminCommand::Unreadable(UnreadableCommand::Requeue(args)) => {
            unreadable::change(UnreadableOperation::Requeue, args, config).await
        }
        AdminCommand::Unreadable(UnreadableCommand::Discard(args)) => {
            unreadable::change(UnreadableOperation::Discard, args, config).await
        }
        AdminCommand::Audit(args) => audit::list(args, config).await,
    }
}
