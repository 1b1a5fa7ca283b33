//! `ringback send`: one callback through the running gateway, as a caller sends it, and what became of it.
//!
//! - `mod.rs`: sends it, waits for its end, and shows its timeline
//! - `request.rs`: the request, to the byte. `credentials.rs`: how it proves its app.
//! - `client.rs`: callers' API over HTTP

mod client;
mod credentials;
mod request;

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use admin::cli::http::reachable;
use admin::cli::stdout::{print_body, print_line, print_notice};
use clap::Args;
use contract::CallbackStatus;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use crate::app::settings::Settings;
use crate::error::CommandError;
use client::{CallersClient, Reported, Sent};
use credentials::CallerCredentials;
use request::CallbackRequest;

/// The app of a callback where the settings register none, or several.
const DEFAULT_APP: &str = "demo";
/// The longest wait that one query asks for; the gateway may allow less.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The time between two queries at least.
const PAUSE: Duration = Duration::from_millis(500);

/// What `ringback send` sends, and for how long it waits.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Where the callback goes; or name a registered callee with --callee.
    #[arg(value_name = "URL", required_unless_present = "callee")]
    url: Option<String>,
    /// The number of the callee.
    #[arg(long, value_name = "CALLEE_NO")]
    callee: Option<String>,
    /// The message, a JSON object; its bytes reach the target as they are.
    #[arg(long, value_name = "JSON", conflicts_with = "message_file")]
    message: Option<String>,
    /// The file with the message; - is standard input. Without a message, standard input is read if it
    /// is no terminal, and else {} is sent.
    #[arg(long, value_name = "FILE")]
    message_file: Option<PathBuf>,
    /// The type of the message.
    #[arg(long = "type", value_name = "MESSAGE_TYPE", default_value = "test")]
    message_type: String,
    /// The app that sends it; without it the only one in the settings, or demo.
    #[arg(long, value_name = "APP_ID")]
    app: Option<String>,
    /// The number of the caller.
    #[arg(long, value_name = "CALLER_NO")]
    caller: Option<String>,
    /// An option, such as max_attempts=1 or headers={"x-a":"b"}; may be given several times.
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = request::option)]
    options: Vec<(String, serde_json::Value)>,
    /// The idempotency key: the same key makes no second callback within 24 hours.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The app's key (auth.mode = "bearer"); file:/path and env:NAME are read. Without it, that of
    /// RINGBACK_KEY.
    #[arg(long, value_name = "KEY", conflicts_with = "secret")]
    key: Option<String>,
    /// The app's secret, to sign with (auth.mode = "hmac"); file:/path and env:NAME are read. Without it,
    /// that of RINGBACK_SECRET.
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// How long to wait for the end of the callback; 0s: until it is accepted.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The gateway, by default at ingress.listen.
    #[arg(long, value_name = "URL")]
    gateway: Option<Url>,
    /// Print the gateway's last answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Sends the callback, and waits for its end.
///
/// # Errors
/// It was refused, has ended without delivery, or has not ended in time.
pub(super) async fn run(args: &SendArgs, settings: &Settings) -> Result<(), CommandError> {
    let app_id = app_id(args.app.as_deref(), settings);
    let credentials =
        CallerCredentials::read(args.key.as_deref(), args.secret.as_deref(), &app_id)?;
    let gateway = match args.gateway.clone() {
        Some(url) => url,
        None => {
            let address = reachable(settings.ingress.listen);
            Url::parse(&format!("http://{address}")).map_err(io::Error::other)?
        }
    };
    let client = CallersClient::new(&gateway, credentials, args.idempotency_key.clone())?;
    let message = message(args.message.as_deref(), args.message_file.as_deref())?;
    let body = CallbackRequest {
        callback_url: args.url.as_deref(),
        callee_no: args.callee.as_deref(),
        app_id: &app_id,
        caller_no: args.caller.as_deref(),
        message_type: &args.message_type,
        message: &message,
        options: &args.options,
    };
    let Sent {
        request_id,
        body: answer,
        warning,
    } = client.send(body.to_json()?).await?;
    if let Some(warning) = warning {
        print_notice(&warning);
    }
    if args.timeout.is_zero() {
        match args.json {
            true => print_body(&answer)?,
            false => print_line(&format!("accepted as {request_id}"))?,
        }
        return Ok(());
    }
    if !args.json {
        print_line(&format!("accepted as {request_id}"))?;
    }
    let last = wait(&client, request_id, args.timeout).await?;
    if let Some(report) = &last {
        match args.json {
            true => print_body(&report.body)?,
            false => print_line(&format!("\n{}", admin::cli::render_report(&report.body)?))?,
        }
    }
    conclude(last, request_id, args.timeout).map_err(CommandError::Failed)
}

/// The app that was given, the only one that is registered, or a name to practise with.
fn app_id(given: Option<&str>, settings: &Settings) -> String {
    let mut registered = settings.apps.keys();
    let only = match (registered.next(), registered.next()) {
        (Some(only), None) => Some(only.as_str()),
        _ => None,
    };
    given.or(only).unwrap_or(DEFAULT_APP).to_owned()
}

/// The message's bytes.
fn message(text: Option<&str>, file: Option<&Path>) -> Result<Vec<u8>, CommandError> {
    let from_stdin = || {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = match (text, file) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(file)) if file.as_os_str() == "-" => from_stdin()?,
        (None, Some(file)) => std::fs::read(file).map_err(|error| {
            CommandError::Failed(format!("{} cannot be read: {error}", file.display()))
        })?,
        (None, None) if io::stdin().is_terminal() => Vec::new(),
        (None, None) => from_stdin()?,
    };
    Ok(match bytes.trim_ascii() {
        [] => b"{}".to_vec(),
        trimmed => trimmed.to_vec(),
    })
}

/// Asks until the callback has ended or the time is over; returns the last report, if there was one.
async fn wait(
    client: &CallersClient,
    request_id: Uuid,
    timeout: Duration,
) -> Result<Option<Reported>, CommandError> {
    let deadline = Instant::now() + timeout;
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let asked = Instant::now();
        if let Some(report) = client.report(request_id, left.min(MAX_WAIT)).await? {
            let has_ended = has_ended(report.status);
            last = Some(report);
            if has_ended {
                return Ok(last);
            }
        }
        if Instant::now() >= deadline {
            return Ok(last);
        }
        tokio::time::sleep_until(deadline.min(asked + PAUSE)).await;
    }
}

const fn has_ended(status: CallbackStatus) -> bool {
    match status {
        CallbackStatus::Delivered
        | CallbackStatus::Dead
        | CallbackStatus::Expired
        | CallbackStatus::Cancelled => true,
        CallbackStatus::Queued
        | CallbackStatus::Delivering
        | CallbackStatus::Retrying
        | CallbackStatus::Unaccounted => false,
    }
}

/// Whether it was delivered.
///
/// # Errors
/// A sentence that says what it is instead, and where to look.
fn conclude(last: Option<Reported>, request_id: Uuid, timeout: Duration) -> Result<(), String> {
    let after = humantime::format_duration(timeout);
    let look = format!("`ringback callback show {request_id}` says more");
    match last {
        None => Err(format!(
            "accepted, but the gateway did not say within {after} what became of it: {look}"
        )),
        Some(report) if report.status == CallbackStatus::Delivered => Ok(()),
        Some(report) if has_ended(report.status) => {
            Err(format!("not delivered: it is {}; {look}", report.status))
        }
        Some(report) => Err(format!(
            "not delivered within {after}: it is {}, and goes on; {look}",
            report.status
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(status: CallbackStatus) -> Option<Reported> {
        Some(Reported {
            status,
            body: Vec::new(),
        })
    }

    #[test]
    fn only_a_delivery_is_a_success() {
        let minute = Duration::from_secs(60);
        for (last, words) in [
            (
                reported(CallbackStatus::Dead),
                "not delivered: it is dead; `ringback callback show 0",
            ),
            (
                reported(CallbackStatus::Cancelled),
                "not delivered: it is cancelled;",
            ),
            (
                reported(CallbackStatus::Retrying),
                "not delivered within 1m: it is retrying, and goes on;",
            ),
            (None, "the gateway did not say within 1m"),
        ] {
            let sentence = conclude(last, Uuid::nil(), minute).unwrap_err();
            assert!(sentence.contains(words), "{sentence}");
        }
        let delivered = reported(CallbackStatus::Delivered);
        assert_eq!(conclude(delivered, Uuid::nil(), minute), Ok(()));
    }

    #[test]
    fn the_app_is_the_one_that_is_given_or_the_only_one_that_is_registered() {
        let with = |apps: &[&str]| {
            let mut settings = Settings::default();
            let apps = apps
                .iter()
                .map(|app| ((*app).to_owned(), ingress::AppConfig::default()));
            settings.apps.extend(apps);
            settings
        };
        assert_eq!(app_id(None, &with(&[])), "demo");
        assert_eq!(app_id(None, &with(&["crm"])), "crm");
        assert_eq!(app_id(None, &with(&["crm", "erp"])), "demo");
        assert_eq!(app_id(Some("erp"), &with(&["crm"])), "erp");
    }

    #[test]
    fn a_message_is_taken_as_it_is_and_a_blank_one_is_empty() {
        let text = |text: &str| message(Some(text), None).unwrap();
        assert_eq!(text(r#"{ "n" : 1.0 }"#), br#"{ "n" : 1.0 }"#);
        assert_eq!(text("  "), b"{}");
        let missing = message(None, Some(Path::new("/no/such/file"))).unwrap_err();
        assert!(
            missing.to_string().contains("/no/such/file cannot be read"),
            "{missing}"
        );
    }
}
