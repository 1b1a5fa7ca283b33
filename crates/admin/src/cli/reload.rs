//! `ringback reload`.

use serde_json::json;

use super::args::ReloadArgs;
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::seen::print_seen;
use super::stdout::print_body;
use super::table;
use super::user::user_at_host;
use crate::api::process_view::{ReloadOutcome, ReloadedView, SeenPage};
use crate::config::AdminConfig;

/// `ringback reload`
///
/// # Errors
/// Also when a process has refused its new settings, or has not said what came of it.
pub(super) async fn reload(args: ReloadArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let body = json!({ "actor": user_at_host(), "reason": args.reason });
    let answer = client.post("/admin/v1/reload", &body).await?;
    let seen: SeenPage<ReloadedView> = parse(&answer)?;
    match args.api.json {
        true => print_body(&answer)?,
        false => print_seen(
            &seen,
            false,
            true,
            table::reloads,
            "no process has answered",
        )?,
    }
    let count = |outcome| {
        let items = seen.page.items.iter();
        items.filter(|it| it.outcome == outcome).count()
    };
    let (refused, unknown) = (
        count(ReloadOutcome::Refused),
        count(ReloadOutcome::Unknown) + seen.seen_by.silent.len(),
    );
    match (refused, unknown, seen.seen_by.complete) {
        (0, 0, true) => Ok(()),
        (0, 0, false) => Err(CliError::failed(
            "only the process that was asked could be told",
        )),
        (0, unknown, _) => Err(CliError::failed(format!(
            "of {unknown} processes it is not known whether they have reloaded: see `ringback instances`"
        ))),
        (refused, _, _) => Err(CliError::failed(format!(
            "{refused} of {} processes refused the new settings and keep the previous ones",
            seen.page.items.len()
        ))),
    }
}
