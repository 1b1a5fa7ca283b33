//! `ringback callee`: serves the practice callee alone.

use std::net::SocketAddr;

use admin::AdminConfig;
use admin::cli::stdout::print_line;
use runtime::shutdown;

use crate::app::listeners::{of_callee, refuse_taken};
use crate::error::CommandError;
use crate::practice_callee;

/// Arguments of `ringback callee`.
#[derive(Debug, clap::Args)]
pub(super) struct CalleeArgs {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5107")]
    listen: SocketAddr,
}

/// Serves until it is stopped.
///
/// # Errors
/// A port in use, or a server that ended unexpectedly.
pub(super) async fn run(args: CalleeArgs) -> Result<(), CommandError> {
    refuse_taken(&[of_callee(args.listen)], AdminConfig::default().listen)?;
    let stop = shutdown::on_signals(false)?;
    let (address, serving) = practice_callee::serve(args.listen, stop.clone())?;
    print_line(&format!(
        "practice callee on http://{address}; what it has received: curl http://{address}/received"
    ))?;
    serving.await?;
    if !stop.is_cancelled() {
        let sentence = "the practice callee ended unexpectedly";
        return Err(CommandError::Failed(sentence.to_owned()));
    }
    tracing::info!(role = "callee", "stopped");
    Ok(())
}
