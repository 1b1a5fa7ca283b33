//! `ringback instances`.

use super::args::ApiArgs;
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::seen::print_seen;
use super::stdout::print_body;
use super::table;
use crate::api::process_view::{InstanceView, SeenPage};
use crate::config::AdminConfig;

/// `ringback instances`
pub(super) async fn list(args: ApiArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.admin, config)?;
    let body = client.get("/admin/v1/instances", &[]).await?;
    if args.json {
        // As a whole: the warnings are part of the answer.
        return Ok(print_body(&body)?);
    }
    let seen: SeenPage<InstanceView> = parse(&body)?;
    print_seen(
        &seen,
        false,
        true,
        table::instances,
        "no process has answered",
    )
}
