//! `ringback unreadable`: list, show, requeue and discard messages that could not be decoded.

use std::io::{self, BufRead as _, IsTerminal as _};

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::args::{ApiArgs, UnreadableArgs, UnreadableShowArgs};
use super::callbacks::looker;
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::list::print_items;
use super::stdout::{print_body, print_line};
use super::table;
use super::user::user_at_host;
use crate::api::view::{UnreadablePage, UnreadableView};
use crate::config::AdminConfig;

/// How many messages are changed by one request.
const STEP: u64 = 200;

/// What is done to unreadable messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnreadableOperation {
    Requeue,
    Discard,
}

impl UnreadableOperation {
    const fn path(self) -> &'static str {
        match self {
            Self::Requeue => "/admin/v1/unreadable/requeue",
            Self::Discard => "/admin/v1/unreadable/discard",
        }
    }

    const fn past_participle(self) -> &'static str {
        match self {
            Self::Requeue => "requeued",
            Self::Discard => "discarded",
        }
    }
}

/// The answer to one step, or the sum of several.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StepResult {
    #[serde(alias = "requeued", alias = "discarded")]
    changed: u64,
    unknown: Vec<String>,
    error: Option<String>,
}

/// `ringback unreadable list`
pub(super) async fn list(args: ApiArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.admin, config)?;
    let pages = client.pages("/admin/v1/unreadable", Vec::new(), STEP);
    let Some(body) = pages.next_body().await? else {
        return Ok(());
    };
    let UnreadablePage { page, waiting } = parse(&body)?;
    let none = "no unreadable messages";
    print_items(&page.items, args.json, true, table::unreadable, none)?;
    let behind = waiting.saturating_sub(page.items.len());
    if behind > 0 && !args.json {
        print_line(&format!("... and about {behind} more behind these"))?;
    }
    Ok(())
}

/// `ringback unreadable show`
pub(super) async fn show(args: UnreadableShowArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    // An id has no characters that mean something in a path; others are refused as unknown.
    let id: String = args
        .id
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let body = client
        .get(&format!("/admin/v1/unreadable/{id}"), &looker(args.reason))
        .await?;
    if args.api.json {
        return Ok(print_body(&body)?);
    }
    let UnreadableView {
        id,
        size,
        from,
        quarantined_at,
        reason,
        readable_now,
        beginning,
    } = parse(&body)?;
    let unknown = || "unknown".to_owned();
    print_line(&format!("id           {id}"))?;
    print_line(&format!("size         {size} bytes"))?;
    print_line(&format!("read from    {}", from.unwrap_or_else(unknown)))?;
    let at = quarantined_at.map(contract::rfc3339);
    print_line(&format!("quarantined  {}", at.unwrap_or_else(unknown)))?;
    print_line(&format!("reason       {}", reason.unwrap_or_else(unknown)))?;
    let next = match readable_now {
        true => "the version that was asked reads it: `ringback unreadable requeue`",
        false => "the version that was asked does not read it either",
    };
    print_line(&format!("now          {next}"))?;
    Ok(print_line(&format!("\n{}", beginning.unwrap_or_default()))?)
}

/// `ringback unreadable requeue` and `discard`
pub(super) async fn change(
    operation: UnreadableOperation,
    args: UnreadableArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    #[derive(Deserialize)]
    struct Matched {
        matched: u64,
    }
    let client = AdminClient::new(args.api.admin, config)?;
    let selection = |limit: u64| match args.all {
        true => json!({ "all": true, "limit": limit.clamp(1, STEP) }),
        false => json!({ "ids": args.ids }),
    };
    let mut body = selection(STEP);
    body["dry_run"] = true.into();
    let answer = client.post(operation.path(), &body).await?;
    let Matched { matched } = parse(&answer)?;
    let done = operation.past_participle();
    if args.dry_run {
        let text = match args.api.json {
            true => json!({ "matched": matched }).to_string(),
            false => format!("{} would be {done}", messages(matched)),
        };
        return Ok(print_line(&text)?);
    }
    if args.all && matched > 0 && !args.yes {
        confirm(operation, matched)?;
    }
    let id = Uuid::now_v7();
    let (mut sum, mut remaining) = (StepResult::default(), matched);
    // Those that come back unreadable join the end of the queue: they are not requeued twice.
    loop {
        let mut body = selection(remaining);
        body["actor"] = user_at_host().into();
        body["reason"] = args.reason.clone().map_or(Value::Null, Value::String);
        body["operation"] = json!(id);
        let answer = client.post(operation.path(), &body).await?;
        let step: StepResult = parse(&answer)?;
        sum.changed += step.changed;
        sum.unknown = step.unknown;
        sum.error = step.error;
        remaining = remaining.saturating_sub(step.changed);
        let has_more = args.all && remaining > 0 && step.changed > 0;
        if !has_more || sum.error.is_some() {
            break;
        }
    }
    if args.api.json {
        let mut result = json!({ "unknown": sum.unknown, "error": sum.error });
        result[done] = sum.changed.into();
        print_line(&result.to_string())?;
    } else {
        print_line(&format!("{done} {}", messages(sum.changed)))?;
    }
    match (sum.error, sum.unknown.as_slice()) {
        (Some(error), _) => Err(CliError::Failed(format!(
            "stopped after {} of {matched}: {error}; run the same command again for the rest",
            sum.changed
        ))),
        (None, []) => Ok(()),
        (None, unknown) => Err(CliError::Failed(format!(
            "not among the oldest {STEP} unreadable messages: {}",
            unknown.join(", ")
        ))),
    }
}

fn messages(count: u64) -> String {
    match count {
        1 => "1 unreadable message".to_owned(),
        count => format!("{count} unreadable messages"),
    }
}

fn confirm(operation: UnreadableOperation, count: u64) -> Result<(), CliError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::failed(
            "cannot ask for confirmation without a terminal: add --yes, or try --dry-run first",
        ));
    }
    let (messages, done) = (messages(count), operation.past_participle());
    print_line(&format!("{messages} will be {done}. Continue? [y/N]"))?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(CliError::failed("nothing was changed")),
    }
}
