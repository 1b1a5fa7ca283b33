//! `ringback callback` and `ringback dead-letters`: list, show, cancel and reconcile.

use std::io;

use runtime::clock::now_ms;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::args::{ApiArgs, CallbackArgs, CallbackListArgs, DeadLetterListArgs};
use super::client::{AdminClient, Parameter, parse};
use super::error::CliError;
use super::list::print_pages;
use super::stdout::{print_body, print_line};
use super::user::user_at_host;
use super::{payload, table, timeline};
use crate::api::view::{CallbackView, CancelResult, CancelView};
use crate::config::AdminConfig;

/// `ringback dead-letters list`
pub(super) async fn list_dead_letters(
    args: DeadLetterListArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    let none = match args.filter.is_empty() {
        true => "no dead letters",
        false => "no dead letters match",
    };
    list_at("/admin/v1/dead-letters", Vec::new(), args, none, config).await
}

/// `ringback callback list`
pub(super) async fn list(args: CallbackListArgs, config: &AdminConfig) -> Result<(), CliError> {
    let none = match args.status.is_none() && args.list.filter.is_empty() {
        true => "no callbacks",
        false => "no callbacks match",
    };
    let status = args.status.map(|status| ("status", status));
    let parameters = status.into_iter().collect();
    list_at("/admin/v1/callbacks", parameters, args.list, none, config).await
}

async fn list_at(
    path: &'static str,
    mut parameters: Vec<Parameter>,
    args: DeadLetterListArgs,
    none: &str,
    config: &AdminConfig,
) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let filter = args.filter.parameters(now_ms());
    parameters.extend(filter.map_err(CliError::Failed)?);
    let mut pages = client.pages(path, parameters, args.limit);
    print_pages(&mut pages, args.api.json, table::callbacks, none).await?;
    if pages.has_more() && !args.api.json {
        print_line("... and more: --limit N shows more, the filters narrow the list")?;
    }
    Ok(())
}

/// `ringback callback show`
pub(super) async fn show(args: CallbackArgs, config: &AdminConfig) -> Result<(), CliError> {
    show_at("/admin/v1/callbacks", args, config).await
}

/// `ringback dead-letters show`
pub(super) async fn show_dead_letter(
    args: CallbackArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    show_at("/admin/v1/dead-letters", args, config).await
}

async fn show_at(path: &str, args: CallbackArgs, config: &AdminConfig) -> Result<(), CliError> {
    /// One object: the callback with its payload.
    #[derive(Serialize)]
    struct WithPayload {
        #[serde(flatten)]
        callback: Map<String, Value>,
        payload: Box<RawValue>,
    }

    let client = AdminClient::new(args.api.admin, config)?;
    let body = client.get(&format!("{path}/{}", args.id), &[]).await?;
    let payload = match args.payload {
        true => {
            #[derive(Deserialize)]
            struct Shown {
                request_id: Uuid,
            }
            let Shown { request_id } = parse(&body)?;
            let path = format!("/admin/v1/callbacks/{request_id}/payload");
            Some(client.get(&path, &looker(args.reason)).await?)
        }
        false => None,
    };
    match (args.api.json, payload) {
        (true, None) => Ok(print_body(&body)?),
        (true, Some(payload)) => {
            let (callback, payload) = (parse(&body)?, parse(&payload)?);
            let shown = serde_json::to_vec(&WithPayload { callback, payload });
            Ok(print_body(&shown.map_err(io::Error::other)?)?)
        }
        (false, payload) => {
            let callback: CallbackView = parse(&body)?;
            print_line(&timeline::render(&callback))?;
            let Some(payload) = payload else {
                return Ok(());
            };
            let payload = payload::render(&callback, &parse(&payload)?);
            Ok(print_line(&format!("\n{payload}"))?)
        }
    }
}

/// Who looks, and why: for the audit log.
pub(super) fn looker(reason: Option<String>) -> Vec<Parameter> {
    let reason = reason.map(|reason| ("reason", reason));
    [("actor", user_at_host())]
        .into_iter()
        .chain(reason)
        .collect()
}

/// `ringback callback cancel ID`
pub(super) async fn cancel(
    id: &str,
    reason: &str,
    api: ApiArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    let client = AdminClient::new(api.admin, config)?;
    let ids = client.whole_ids(vec![id.to_owned()]).await?;
    let id = ids.first().map_or(id, String::as_str);
    let path = format!("/admin/v1/callbacks/{id}/cancel");
    let body = json!({ "actor": user_at_host(), "reason": reason });
    let answer = client.post(&path, &body).await?;
    if api.json {
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
