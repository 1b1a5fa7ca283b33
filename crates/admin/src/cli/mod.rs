//! The operators' commands. Each is a client of the operators' API of a running process.
//!
//! - `args.rs`: the command line. Start here.
//! - `client.rs`: sends requests and follows cursors. `http.rs`: HTTP clients, and how addresses and
//!   errors are shown.
//! - `callbacks.rs`: `callback` and `dead-letters` (list, show, cancel, reconcile); `bulk.rs`:
//!   `dead-letters replay` and `discard`; `pauses.rs`: `pause`, `resume`, `pauses`, `targets`;
//!   `audit.rs`: `audit`.
//! - `list.rs`, `table.rs`, `timeline.rs`, `stdout.rs`: how results are shown. `user.rs`: who runs the
//!   command. `error.rs`: why it failed.

mod args;
mod audit;
mod bulk;
mod callbacks;
mod client;
mod error;
pub mod http;
mod list;
mod pauses;
pub mod stdout;
mod table;
mod timeline;
mod user;

pub use args::AdminCommand;
use args::{CallbackCommand, DeadLettersCommand};
use bulk::BulkOperation;
pub use error::CliError;
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
            bulk::run(BulkOperation::Replay, args, config).await
        }
        AdminCommand::DeadLetters(DeadLettersCommand::Discard(args)) => {
            bulk::run(BulkOperation::Discard, args, config).await
        }
        AdminCommand::DeadLetters(DeadLettersCommand::Reconcile(args)) => {
            callbacks::reconcile(args, config).await
        }
        AdminCommand::Callback(CallbackCommand::List(args)) => callbacks::list(args, config).await,
        AdminCommand::Callback(CallbackCommand::Show(args)) => callbacks::show(args, config).await,
        AdminCommand::Callback(CallbackCommand::Cancel(args)) => {
            callbacks::cancel(args, config).await
        }
        AdminCommand::Pause(args) => pauses::pause(args, config).await,
        AdminCommand::Resume(args) => pauses::resume(args, config).await,
        AdminCommand::Pauses(args) => pauses::list(args, config).await,
        AdminCommand::Targets(args) => pauses::targets(args, config).await,
        AdminCommand::Audit(args) => audit::list(args, config).await,
    }
}
