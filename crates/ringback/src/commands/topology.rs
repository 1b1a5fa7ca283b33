//! `ringback topology`: prints the RabbitMQ topology, or compares a broker with it.

use admin::cli::stdout::print_line;
use url::Url;

use crate::app::settings::Settings;
use crate::error::CommandError;
use crate::topology::{self, ManagementApi};

/// Arguments of `ringback topology`.
#[derive(Debug, clap::Args)]
pub(super) struct TopologyArgs {
    /// The virtual host; by default that of broker.url, or else "/".
    #[arg(long)]
    vhost: Option<String>,
    /// Compare a running broker through its management API: exit code 0 if nothing differs.
    #[arg(long)]
    check: bool,
    /// The management API, for instance http://guest:guest@127.0.0.1:15672; by default host, user
    /// and password of broker.url, on port 15672 (amqps: https on port 15671).
    #[arg(long, value_name = "URL", requires = "check")]
    management: Option<Url>,
}

/// Prints the definitions, or one line for each difference.
///
/// # Errors
/// With `--check`: the API does not answer, or the broker differs from the expected topology.
pub(super) async fn run(args: TopologyArgs, settings: &Settings) -> Result<(), CommandError> {
    let broker = &settings.broker;
    if args.check {
        let api = ManagementApi::find(args.vhost, args.management, broker)?;
        return topology::check(&broker.prefix, &api).await;
    }
    let vhost = args.vhost.unwrap_or_else(|| topology::vhost_of(broker));
    Ok(print_line(&topology::definitions(&broker.prefix, &vhost))?)
}
