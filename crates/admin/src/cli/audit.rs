//! `ringback audit`: who did what, and why.

use super::args::AuditArgs;
use super::client::AdminClient;
use super::error::CliError;
use super::list::print_pages;
use super::table;
use crate::config::AdminConfig;

/// Lists the audit log.
pub(super) async fn list(args: AuditArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let mut pages = client.pages("/admin/v1/audit", Vec::new(), args.limit);
    print_pages(
        &mut pages,
        args.api.json,
        table::audit,
        "no entries in the audit log",
    )
    .await
}
