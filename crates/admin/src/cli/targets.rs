//! `ringback targets`.

use runtime::clock::now_ms;

use super::args::BusiestArgs;
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::seen::print_seen;
use super::stdout::print_line;
use super::table;
use crate::api::process_view::TargetsView;
use crate::config::AdminConfig;

/// Shown instead of an empty list: processes forget targets that are not called.
const NONE: &str = "no target: no process that answered has figures of one";

/// `ringback targets`
pub(super) async fn list(args: BusiestArgs, config: &AdminConfig) -> Result<(), CliError> {
    let BusiestArgs { limit, api } = args;
    let client = AdminClient::new(api.admin, config)?;
    let mut pages = client.pages("/admin/v1/targets", Vec::new(), limit);
    let mut others = None;
    while let Some(body) = pages.next_body().await? {
        let view: TargetsView = parse(&body)?;
        let seen = view.seen;
        pages.advance(seen.page.items.len(), seen.page.next.clone());
        let now = now_ms();
        let table = |targets: &[_]| table::targets(targets, now);
        print_seen(&seen, api.json, others.is_none(), table, NONE)?;
        others = Some(view.others.count);
    }
    if let Some(count) = others.filter(|count| !api.json && *count > 0) {
        print_line(&format!("... and at least {count} more"))?;
    }
    Ok(())
}
