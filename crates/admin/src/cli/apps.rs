//! `ringback apps`.

use super::args::BusiestArgs;
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::seen::print_seen;
use super::table;
use crate::api::process_view::{AppView, SeenPage};
use crate::config::AdminConfig;

/// Shown instead of an empty list.
const NONE: &str = "no app: no process that answered has figures of one";

/// `ringback apps`
pub(super) async fn list(args: BusiestArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let mut pages = client.pages("/admin/v1/apps", Vec::new(), args.limit);
    let mut first = true;
    while let Some(body) = pages.next_body().await? {
        let seen: SeenPage<AppView> = parse(&body)?;
        pages.advance(seen.page.items.len(), seen.page.next.clone());
        print_seen(&seen, args.api.json, first, table::apps, NONE)?;
        first = false;
    }
    Ok(())
}
