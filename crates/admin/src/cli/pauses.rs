//! `ringback pause`, `resume`, `pauses` and `targets`.

use serde_json::json;

use super::args::{ApiArgs, DispatcherArgs, PauseTarget};
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::list::{print_items, print_pages};
use super::stdout::{print_body, print_line};
use super::table;
use super::user::user_at_host;
use crate::api::view::{PausedView, TargetsView};
use crate::config::AdminConfig;

/// The name of the parameter for a callee or target.
fn parameter(callee_or_url: &str) -> &'static str {
    match callee_or_url.contains("://") {
        true => "target",
        false => "callee_no",
    }
}

/// `ringback pause`
pub(super) async fn pause(args: PauseTarget, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let mut body = json!({ "actor": user_at_host(), "reason": args.reason });
    let parameter = parameter(&args.callee_or_url);
    body[parameter] = args.callee_or_url.into();
    let answer = client.post("/admin/v1/pauses", &body).await?;
    if args.api.json {
        return Ok(print_body(&answer)?);
    }
    let PausedView { paused, new } = parse(&answer)?;
    Ok(print_line(&match new {
        true => format!(
            "{paused} is paused: within 2 seconds no new attempt starts, until `ringback resume`"
        ),
        false => format!("{paused} is paused already"),
    })?)
}

/// `ringback resume`
pub(super) async fn resume(args: PauseTarget, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let parameters = [
        (parameter(&args.callee_or_url), args.callee_or_url),
        ("actor", user_at_host()),
        ("reason", args.reason),
    ];
    let answer = client.delete("/admin/v1/pauses", &parameters).await?;
    if args.api.json {
        return Ok(print_body(&answer)?);
    }
    Ok(print_line(
        "resumed: its deferred callbacks are attempted again within 7 minutes",
    )?)
}

/// `ringback pauses`
pub(super) async fn list(args: ApiArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.admin, config)?;
    let mut pages = client.pages("/admin/v1/pauses", Vec::new(), u64::MAX);
    print_pages(&mut pages, args.json, table::pauses).await
}

/// `ringback targets`
///
/// If one of several dispatchers does not answer, the others are shown first.
pub(super) async fn targets(args: DispatcherArgs, config: &AdminConfig) -> Result<(), CliError> {
    let DispatcherArgs {
        dispatcher,
        limit,
        api,
    } = args;
    if dispatcher.is_empty() {
        let client = AdminClient::new(api.admin, config)?;
        return show_targets(&client, limit, api.json).await;
    }
    let headings = dispatcher.len() > 1 && !api.json;
    let mut failed = None;
    for url in dispatcher {
        if headings {
            print_line(&format!("dispatcher {url}"))?;
        }
        let client = AdminClient::new(Some(url), config)?;
        match show_targets(&client, limit, api.json).await {
            Ok(()) => {}
            Err(error) if headings => {
                print_line(&error.to_string())?;
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
        if headings {
            print_line("")?;
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn show_targets(client: &AdminClient, limit: u64, as_json: bool) -> Result<(), CliError> {
    let mut pages = client.pages("/admin/v1/targets", Vec::new(), limit);
    let mut others = None;
    while let Some(body) = pages.next_body().await? {
        let view: TargetsView = parse(&body)?;
        let targets = view.page.items;
        pages.advance(targets.len(), view.page.next);
        print_items(&targets, as_json, others.is_none(), table::targets)?;
        others = Some(view.others);
    }
    if let Some(others) = others.filter(|rest| !as_json && rest.calls + rest.deferrals > 0) {
        print_line(&format!(
            "... and {} more: {} in flight, {} deferrals, {} calls",
            others.count, others.in_flight, others.deferrals, others.calls
        ))?;
    }
    Ok(())
}
