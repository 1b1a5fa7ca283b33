//! `ringback probe`: grades a callee before it goes live.

use std::io::{self, BufRead as _, IsTerminal as _};

use admin::cli::stdout::{print_line, print_notice};
use delivery::AddressRule;
use runtime::SecretRef;

use crate::app::settings::Settings;
use crate::callee_probe::{Grade, MAX_MESSAGES, ProbeTarget, TargetOptions, grade, probe, render};
use crate::error::CommandError;
use crate::lang::Lang;

/// Arguments of `ringback probe`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProbeArgs {
    /// The number of a registered callee, or a URL.
    #[arg(value_name = "CALLEE_NO | URL")]
    target: String,
    /// The app whose address rules and signing secrets apply to a URL.
    #[arg(long, value_name = "APP_ID")]
    app: Option<String>,
    /// Signs the messages (whsec_...), in place of the secrets of the settings; file:/path and env:NAME
    /// are read.
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// Let the probe reach this in addition to guard.allow: 127.0.0.1:3000. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    allow: Vec<AddressRule>,
    /// The type of the messages.
    #[arg(
        long = "type",
        value_name = "MESSAGE_TYPE",
        default_value = "ringback.probe"
    )]
    message_type: String,
    /// The body of the messages, a JSON object, for a callee that accepts no other.
    #[arg(long, value_name = "JSON")]
    message: Option<String>,
    /// Do not ask before a callee that is not on this machine is called.
    #[arg(long)]
    yes: bool,
    /// Fail on warnings as well.
    #[arg(long)]
    strict: bool,
    /// The language of the findings.
    #[arg(long, value_enum, default_value = "en")]
    lang: Lang,
}

/// Sends practice messages and prints what was found.
///
/// # Errors
/// A target that may not be called, no consent, or a callee that is not ready.
pub(super) async fn run(args: ProbeArgs, settings: &Settings) -> Result<(), CommandError> {
    let secret = args.secret.as_deref().map(SecretRef::new);
    let options = TargetOptions {
        target: &args.target,
        app: args.app.as_deref(),
        secret,
        allow: &args.allow,
        message: args.message.map(object).transpose()?,
        message_type: &args.message_type,
    };
    let target = ProbeTarget::find(options, settings).await?;
    print_notice(&target.messages(MAX_MESSAGES, args.lang));
    if !args.yes && !target.is_loopback() {
        consent(&target.shown(), args.lang)?;
    }
    let findings = probe(&target, args.lang).await;
    print_line(&render(&findings, args.lang))?;
    match grade(&findings) {
        Grade::Ready => Ok(()),
        Grade::Warnings if !args.strict => Ok(()),
        Grade::Warnings | Grade::NotReady => {
            let sentence = args
                .lang
                .say("the callee is not ready", "该被回调方尚不可上线");
            Err(CommandError::Failed(sentence.to_owned()))
        }
    }
}

/// The bytes of a JSON object, as they were written: callers can send no other.
fn object(message: String) -> Result<Vec<u8>, CommandError> {
    match serde_json::from_str::<serde_json::Map<_, _>>(&message) {
        Ok(_) => Ok(message.into_bytes()),
        Err(error) => {
            let sentence = format!("--message is not a JSON object: {error}");
            Err(CommandError::Failed(sentence))
        }
    }
}

/// Asks whoever is at the terminal.
fn consent(url: &str, lang: Lang) -> Result<(), CommandError> {
    let refused = |sentence: &str| Err(CommandError::Failed(sentence.to_owned()));
    if !io::stdin().is_terminal() {
        return refused(lang.say(
            "it is not on this machine: --yes sends it the practice messages",
            "目标不在本机：请加 --yes 确认发送练习消息",
        ));
    }
    print_notice(&match lang {
        Lang::En => {
            format!("{MAX_MESSAGES} practice messages at most go to {url}. Send them? [y/N]")
        }
        Lang::Zh => format!("最多向 {url} 发送 {MAX_MESSAGES} 条练习消息。发送吗？[y/N]"),
    });
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => refused(lang.say("nothing was sent", "没有发送任何消息")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_json_object_and_keeps_its_bytes() {
        let written = r#"{ "a":1.0 }"#;
        assert_eq!(object(written.to_owned()).unwrap(), written.as_bytes());
        for other in ["", "[]", "7", "{", "{} {}", "null"] {
            let refused = object(other.to_owned()).unwrap_err().to_string();
            assert!(refused.contains("--message"), "{refused}");
        }
    }
}
