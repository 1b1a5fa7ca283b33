//! `ringback pause`, `resume` and `pauses`.

use serde_json::json;

use super::args::{ApiArgs, PauseArgs};
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::list::print_pages;
use super::stdout::{print_body, print_line};
use super::table;
use super::user::user_at_host;
use crate::api::view::{PauseScope, PausedView};
use crate::config::AdminConfig;

/// The parameter that names what is paused, with its value.
fn selector(args: &PauseArgs) -> (&'static str, String) {
    let given = [
        ("app_id", args.app.clone()),
        ("message_type", args.message_type.clone()),
        ("switch", args.intake.then(|| "intake".to_owned())),
        ("switch", args.deliveries.then(|| "deliveries".to_owned())),
    ];
    let given = given
        .into_iter()
        .find_map(|(key, value)| Some((key, value?)));
    given.unwrap_or_else(|| {
        let callee_or_url = args.callee_or_url.clone().unwrap_or_default();
        let key = match callee_or_url.contains("://") {
            true => "target",
            false => "callee_no",
        };
        (key, callee_or_url)
    })
}

/// `ringback pause`
pub(super) async fn pause(args: PauseArgs, config: &AdminConfig) -> Result<(), CliError> {
    let (key, value) = selector(&args);
    let client = AdminClient::new(args.api.admin, config)?;
    let mut body = json!({ "actor": user_at_host(), "reason": args.reason });
    body[key] = value.into();
    let answer = client.post("/admin/v1/pauses", &body).await?;
    if args.api.json {
        return Ok(print_body(&answer)?);
    }
    let PausedView { paused, new, scope } = parse(&answer)?;
    let (paused, effect) = match &*paused {
        "intake" => (
            "intake is stopped".to_owned(),
            "every ingress answers new callbacks 503",
        ),
        "deliveries" => (
            "deliveries are stopped".to_owned(),
            "no new attempt starts anywhere",
        ),
        paused => (format!("{paused} is paused"), "no new attempt starts"),
    };
    let scope = match scope {
        PauseScope::AllProcesses => "",
        PauseScope::ThisProcess => {
            "; only in the process that was asked, and until it ends: no journal is configured"
        }
    };
    Ok(print_line(&match new {
        true => format!("{paused}: within 2 seconds {effect}, until `ringback resume`{scope}"),
        false => format!("{paused} already"),
    })?)
}

/// `ringback resume`
pub(super) async fn resume(args: PauseArgs, config: &AdminConfig) -> Result<(), CliError> {
    let is_switch = args.intake || args.deliveries;
    let (key, value) = selector(&args);
    let client = AdminClient::new(args.api.admin, config)?;
    let parameters = [
        (key, value),
        ("actor", user_at_host()),
        ("reason", args.reason),
    ];
    let answer = client.delete("/admin/v1/pauses", &parameters).await?;
    if args.api.json {
        return Ok(print_body(&answer)?);
    }
    Ok(print_line(match is_switch {
        true => "resumed: it goes on within 2 seconds",
        false => "resumed: its deferred callbacks are attempted again within 7 minutes",
    })?)
}

/// `ringback pauses`
pub(super) async fn list(args: ApiArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.admin, config)?;
    let mut pages = client.pages("/admin/v1/pauses", Vec::new(), u64::MAX);
    print_pages(&mut pages, args.json, table::pauses, "nothing is paused").await
}
