//! `ringback guard`: whether a URL or a callee may be called, and by which rule.
//!
//! A running process decides under the rules that are in force in it; without one, the settings do.

use std::fmt::Write;
use std::net::IpAddr;

use admin::cli::guard::{GuardAnswer, ask};
use admin::cli::stdout::print_line;
use admin::{AddressDecision, GuardQuestion, GuardReport};
use url::Url;

use crate::app::config_check::ValidatedConfig;
use crate::app::settings::Settings;
use crate::error::CommandError;

/// Arguments of `ringback guard`.
#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// A callback_url, or the number of a registered callee.
    target: String,
    /// The app that sends the callback; by default an app without its own rules.
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// Assume that the name resolves to this address, without asking a name server; may be repeated.
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// The operators' API of the process that decides, by default at admin.listen. admin.token is sent
    /// to it.
    #[arg(long, value_name = "URL")]
    admin: Option<Url>,
    /// Decide by the settings of this command, whatever process runs.
    #[arg(long, conflicts_with = "admin")]
    from_settings: bool,
}

/// Prints who decides, and the decision on each address; fails if the target would not be called.
///
/// # Errors
/// Settings that cannot be used, no decision of the process at `--admin`, a token that the process does not
/// admit, or the refusal.
pub(super) async fn run(args: GuardArgs, settings: &Settings) -> Result<(), CommandError> {
    let question = GuardQuestion {
        target: args.target,
        app: args.app,
        addresses: args.address,
    };
    let answer = match args.from_settings {
        true => None,
        false => Some(ask(args.admin.clone(), &settings.admin, &question).await?),
    };
    let (decided_by, report) = match answer {
        Some(GuardAnswer::Decided(process, report)) => {
            let by = format!("{process}, which runs: these rules are in force there");
            (by, report)
        }
        Some(GuardAnswer::NoProcess(reason)) if args.admin.is_some() => {
            return Err(CommandError::Failed(reason));
        }
        Some(GuardAnswer::NoProcess(reason)) => {
            let by = format!("the settings, because no running process decided ({reason})");
            (by, by_settings(&question, settings).await?)
        }
        None => {
            let by = "the settings of this command".to_owned();
            (by, by_settings(&question, settings).await?)
        }
    };
    print_line(text(&decided_by, &report).trim_end())?;
    match report.refused {
        None => Ok(()),
        Some(refusal) => Err(CommandError::Failed(refusal)),
    }
}

async fn by_settings(
    question: &GuardQuestion,
    settings: &Settings,
) -> Result<GuardReport, CommandError> {
    let rules = ValidatedConfig::check(settings)?.guard_rules(&[]);
    rules.judge(question).await.map_err(CommandError::Failed)
}

fn text(decided_by: &str, report: &GuardReport) -> String {
    let mut text = format!("decided by  {decided_by}\ntarget      {}\n", report.target);
    for AddressDecision { address, decision } in &report.addresses {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{address}   {decision}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let variables = [
            ("GUARD__ALLOW", "10.0.0.0/8,hooks.internal"),
            ("GUARD__DENIED_PORTS", "25"),
            ("APPS__shop__ALLOWED_HOSTS", "*.shop.example"),
            ("CALLEES__EO001__URL", "http://crm.internal/"),
            ("CALLEES__EO002__URL", "http://crm.internal/"),
            ("CALLEES__EO002__ALLOWED_ADDRESSES", "10.2.0.0/16"),
        ];
        let variables =
            variables.map(|(key, value)| (format!("RINGBACK__{key}"), value.to_owned()));
        runtime::config::load(None, variables.into_iter()).unwrap()
    }

    #[tokio::test]
    async fn each_address_is_shown_with_the_rule_that_decided() {
        let table = [
            (
                "http://10.1.2.3/",
                "",
                &[][..],
                "allowed by 10.0.0.0/8",
                None,
            ),
            ("http://8.8.8.8/", "", &[], "admitted: public", None),
            ("http://8.8.8.8:25/", "", &[], "", Some("closed_port")),
            ("http://2130706433/", "", &[], "", Some("loopback")),
            (
                "http://hooks.internal/",
                "",
                &["127.0.0.1"],
                "allowed by hooks.internal",
                None,
            ),
            (
                "http://a.example/",
                "",
                &["8.8.8.8", "127.0.0.1"],
                "admitted: public",
                Some("loopback"),
            ),
            (
                "http://a.example/",
                "shop",
                &["8.8.8.8"],
                "",
                Some("not_listed"),
            ),
            (
                "http://a.shop.example/",
                "shop",
                &["8.8.8.8"],
                "admitted: public",
                None,
            ),
            ("EO001", "", &["127.0.0.1"], "registered callee", None),
            ("EO002", "", &["10.2.1.1"], "on the callee's list", None),
            ("EO002", "", &["10.3.1.1"], "", Some("not_listed")),
        ];
        for (target, app, assumed, expected, refused) in table {
            let question = GuardQuestion {
                target: target.to_owned(),
                app: (!app.is_empty()).then(|| app.to_owned()),
                addresses: assumed.iter().map(|ip| ip.parse().unwrap()).collect(),
            };
            let report = by_settings(&question, &settings()).await.unwrap();
            let shown = text("tests", &report);
            assert!(shown.contains(expected), "{target} {assumed:?}: {shown}");
            let found = report.refused;
            let named = refused.map(|rule| format!("({rule})"));
            let fits = match (&found, &named) {
                (None, None) => true,
                (Some(found), Some(named)) => found.contains(named.as_str()),
                _ => false,
            };
            assert!(fits, "{target} {assumed:?}: {found:?}");
        }
    }

    #[tokio::test]
    async fn an_app_that_is_not_registered_is_refused_with_those_that_are() {
        let question = GuardQuestion {
            target: "http://8.8.8.8/".to_owned(),
            app: Some("shpo".to_owned()),
            addresses: Vec::new(),
        };
        let Err(CommandError::Failed(sentence)) = by_settings(&question, &settings()).await else {
            panic!("it was not refused")
        };
        let begin = "no app \"shpo\" is registered (known: shop);";
        assert!(sentence.starts_with(begin), "{sentence}");
    }
}
