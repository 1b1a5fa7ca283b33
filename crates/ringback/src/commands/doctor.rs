//! `ringback doctor`: is all well? Asks a running gateway, and RabbitMQ's management API.

use admin::cli::doctor::{self, DoctorArgs};
use admin::doctor::{Finding, examine_nodes, nodes_unknown};
use url::Url;

use crate::app::settings::Settings;
use crate::error::CommandError;
use crate::topology::ManagementApi;

/// Prints one line for each check.
///
/// # Errors
/// When a check is a failure.
pub(super) async fn run(args: DoctorArgs, settings: &Settings) -> Result<(), CommandError> {
    let nodes = broker_nodes(args.management.clone(), settings);
    Ok(doctor::run(args, &settings.admin, nodes).await?)
}

/// Descriptors, memory, disk and alarms of RabbitMQ's nodes. The embedded store has none.
async fn broker_nodes(management: Option<Url>, settings: &Settings) -> Vec<Finding> {
    let broker = &settings.broker;
    if management.is_none() && (broker.url.is_none() || broker.data_dir.is_some()) {
        return Vec::new();
    }
    let nodes = async {
        let api = ManagementApi::find(None, management, broker)?;
        api.nodes().await
    };
    match nodes.await {
        Ok(nodes) => examine_nodes(&nodes),
        Err(error) => vec![nodes_unknown(&error.sentence())],
    }
}
