//! `ringback callback` and `ringback dead-letters`: list, show, cancel and reconcile.

use runtime::clock::now_ms;
use runtime::text;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::args::{ApiArgs, CallbackArgs, CallbackListArgs, CancelArgs, DeadLetterListArgs};
use super::client::{AdminClient, Parameter, parse};
use super::error::CliError;
use super::list::print_pages;
use super::stdout::{print_body, print_line};
use super::user::user_at_host;
use super::{table, timeline};
use crate::api::view::{CallbackView, CancelResult, CancelView};
use crate::config::AdminConfig;

/// `ringback dead-letters list`
pub(super) async fn list_dead_letters(
    args: DeadLetterListArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    list_at("/admin/v1/dead-letters", Vec::new(), args, config).await
}

/// `ringback callback list`
pub(super) async fn list(args: CallbackListArgs, config: &AdminConfig) -> Result<(), CliError> {
    let status = args.status.map(|status| ("status", status));
    let parameters = status.into_iter().collect();
    list_at("/admin/v1/callbacks", parameters, args.list, config).await
}

async fn list_at(
    path: &'static str,
    mut parameters: Vec<Parameter>,
    args: DeadLetterListArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let filter = args.filter.parameters(now_ms());
    parameters.extend(filter.map_err(CliError::Failed)?);
    let mut pages = client.pages(path, parameters, args.limit);
    print_pages(&mut pages, args.api.json, table::callbacks).await?;
    if pages.has_more() && !args.api.json {
        print_line("... and more: --limit N shows more, the filters narrow the list")?;
    }
    Ok(())
}

/// `ringback callback show`
pub(super) async fn show(args: CallbackArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let path = format!("/admin/v1/callbacks/{}", args.id);
    let body = client.get(&path, &[]).await?;
    if args.api.json {
        return Ok(print_body(&body)?);
    }
    let callback: CallbackView = parse(&body)?;
    Ok(print_line(&timeline::render(&callback))?)
}

/// `ringback dead-letters show`
pub(super) async fn show_dead_letter(
    args: CallbackArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    /// The message's body as the caller sent it, byte for byte.
    #[derive(Deserialize)]
    struct WithMessage {
        message: Option<RequestMessage>,
    }
    #[derive(Deserialize)]
    struct RequestMessage {
        request_message: Box<RawValue>,
    }

    let client = AdminClient::new(args.api.admin, config)?;
    let path = format!("/admin/v1/dead-letters/{}", args.id);
    let body = client.get(&path, &[]).await?;
    if args.api.json {
        return Ok(print_body(&body)?);
    }
    let callback: CallbackView = parse(&body)?;
    print_line(&timeline::render(&callback))?;
    let message = match parse::<WithMessage>(&body)?.message {
        Some(message) => text::json(message.request_message.get()).into_owned(),
        None => "past its retention; the dead letter cannot be replayed".to_owned(),
    };
    Ok(print_line(&format!("\nmessage: {message}"))?)
}

/// `ringback callback cancel`
pub(super) async fn cancel(args: CancelArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let path = format!("/admin/v1/callbacks/{}/cancel", args.id);
    let body = json!({ "actor": user_at_host(), "reason": args.reason });
    let answer = client.post(&path, &body).await?;
    if args.api.json {
        return Ok(print_body(&answer)?);
    }
    let answer: CancelView = parse(&answer)?;
    Ok(print_line(match answer.result {
        CancelResult::Cancelled => "cancelled: it will not be delivered",
        CancelResult::Requested => {
            "cancellation requested: an attempt may be in progress; if it fails, the callback is \
             cancelled"
        }
    })?)
}

/// `ringback dead-letters reconcile`
pub(super) async fn reconcile(args: ApiArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.admin, config)?;
    let path = "/admin/v1/dead-letters/reconcile";
    let body = client.post(path, &json!({})).await?;
    if args.json {
        return Ok(print_body(&body)?);
    }
    Ok(print_line(
        "reconciliation begins within seconds; the process's log shows the result",
    )?)
}
