//! `ringback guard`: whether a URL or a callee may be called, and by which rule.

use std::fmt::Write;
use std::net::IpAddr;

use admin::cli::stdout::print_line;
use delivery::{AdmittedBy, AllowList, Guard, Refusal, TargetUrl, UrlError};
use dispatcher::addresses_of;

use crate::app::config_check::ValidatedConfig;
use crate::app::settings::Settings;
use crate::error::CommandError;

const NEITHER: &str = "refused: neither an absolute URL nor the number of a registered callee";

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
}

/// The rules that apply.
enum AppliedRules<'a> {
    /// For a caller's URL: the address guard.
    Guard(&'a Guard),
    /// For a registered callee: its list of allowed addresses, if it has one.
    Callee(Option<AllowList>),
}

/// Prints the decision on each address; fails if the target would not be called.
///
/// # Errors
/// Settings that cannot be used, or the refusal.
pub(super) async fn run(args: GuardArgs, settings: &Settings) -> Result<(), CommandError> {
    let (report, decision) = explain(&args, settings).await?;
    print_line(report.trim_end())?;
    decision.map_err(CommandError::Failed)
}

/// The report, and the decision on the target.
async fn explain(
    args: &GuardArgs,
    settings: &Settings,
) -> Result<(String, Result<(), String>), CommandError> {
    let config = ValidatedConfig::check(settings)?;
    let guards = config.guards(&[]);
    let app = known_app(args.app.as_deref(), settings)?;
    let callee = config.callees.find(&args.target);
    let (url, rules) = match callee {
        Some(callee) => {
            let url = callee.url.clone();
            let url =
                url.ok_or_else(|| CommandError::Failed("this callee has no URL".to_owned()))?;
            let allowed = settings.callees.get(&callee.no);
            let allowed = allowed.map(|callee| callee.allowed_addresses.clone());
            let allowed = allowed.filter(|allowed| !allowed.is_empty());
            (url, AppliedRules::Callee(allowed.map(AllowList::new)))
        }
        None => {
            let url = TargetUrl::parse(&args.target);
            let url = url.map_err(|error| match error {
                UrlError::Malformed => CommandError::Failed(NEITHER.to_owned()),
                error => CommandError::Failed(format!("refused: {error}")),
            })?;
            (url, AppliedRules::Guard(guards.for_app(app)))
        }
    };
    let mut report = format!("target   {}\n", url.target());
    let decision = decide(&mut report, &rules, &url, &args.address, settings).await;
    Ok((report, decision))
}

/// The app of `--app`. The rules of a mistyped one would be those of any other app.
fn known_app<'a>(app: Option<&'a str>, settings: &Settings) -> Result<&'a str, CommandError> {
    match app {
        None => Ok(""),
        Some(app) if settings.apps.contains_key(app) => Ok(app),
        Some(app) => {
            let known: Vec<&str> = settings.apps.keys().map(String::as_str).collect();
            let known = match known.as_slice() {
                [] => "none is registered".to_owned(),
                known => format!("known: {}", known.join(", ")),
            };
            Err(CommandError::Failed(format!(
                "no app {app:?} is registered ({known}); without --app the rules are those of an \
                 app without its own"
            )))
        }
    }
}

async fn decide(
    report: &mut String,
    rules: &AppliedRules<'_>,
    url: &TargetUrl,
    assumed: &[IpAddr],
    settings: &Settings,
) -> Result<(), String> {
    let by_url = rules.url(url).map_err(|refusal| sentence(&refusal))?;
    if let Some(literal) = url.literal() {
        row(report, literal, &by_url);
        return Ok(());
    }
    let target = url.target();
    let addresses = match assumed {
        [] => addresses_of(&settings.dispatcher, target.host()).await?,
        assumed => assumed.to_vec(),
    };
    let mut refused = None;
    for address in addresses {
        match rules.address(target.host(), address) {
            Ok(by) => row(report, address, &by),
            Err(refusal) => {
                row(report, address, &sentence(&refusal));
                refused = refused.or(Some(refusal));
            }
        }
    }
    match refused {
        None => Ok(()),
        Some(refusal) => Err(sentence(&refusal)),
    }
}

impl AppliedRules<'_> {
    fn url(&self, url: &TargetUrl) -> Result<String, Refusal> {
        match self {
            Self::Guard(guard) => Ok(guard.evaluate_url(url)?.map(admitted).unwrap_or_default()),
            Self::Callee(None) => Ok(CALLEE.to_owned()),
            Self::Callee(Some(allowed)) => allowed.admit_url(url).map(|()| LISTED.to_owned()),
        }
    }

    fn address(&self, host: &str, address: IpAddr) -> Result<String, Refusal> {
        match self {
            Self::Guard(guard) => guard.evaluate_name(host, address).map(admitted),
            Self::Callee(None) => Ok(CALLEE.to_owned()),
            Self::Callee(Some(allowed)) => allowed.admit(host, address).map(|()| LISTED.to_owned()),
        }
    }
}

const CALLEE: &str = "admitted: a registered callee, to which the guard does not apply";
const LISTED: &str = "admitted: on the callee's list";

fn admitted(by: AdmittedBy<'_>) -> String {
    match by {
        AdmittedBy::Public => "admitted: public".to_owned(),
        AdmittedBy::Rule(rule) => format!("admitted: allowed by {rule}"),
    }
}

fn sentence(refusal: &Refusal) -> String {
    format!("refused: {refusal} ({})", refusal.as_str())
}

/// Writing to a String cannot fail.
fn row(report: &mut String, address: IpAddr, decision: &str) {
    let _ = writeln!(report, "{address}   {decision}");
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
            let args = GuardArgs {
                target: target.to_owned(),
                app: (!app.is_empty()).then(|| app.to_owned()),
                address: assumed.iter().map(|ip| ip.parse().unwrap()).collect(),
            };
            let (report, decision) = explain(&args, &settings()).await.unwrap();
            assert!(report.contains(expected), "{target} {assumed:?}: {report}");
            let found = decision.err();
            let named = refused.map(|rule| format!("({rule})"));
            let fits = match (&found, &named) {
                (None, None) => true,
                (Some(found), Some(named)) => found.ends_with(named.as_str()),
                _ => false,
            };
            assert!(fits, "{target} {assumed:?}: {found:?}");
        }
    }

    #[tokio::test]
    async fn an_app_that_is_not_registered_is_refused_with_those_that_are() {
        let args = GuardArgs {
            target: "http://8.8.8.8/".to_owned(),
            app: Some("shpo".to_owned()),
            address: Vec::new(),
        };
        let Err(CommandError::Failed(sentence)) = explain(&args, &settings()).await else {
            panic!("it was not refused")
        };
        let begin = "no app \"shpo\" is registered (known: shop);";
        assert!(sentence.starts_with(begin), "{sentence}");
    }

    #[tokio::test]
    async fn a_text_that_is_neither_url_nor_callee_number_is_refused_as_such() {
        let args = GuardArgs {
            target: "EO999".to_owned(),
            app: None,
            address: Vec::new(),
        };
        let Err(CommandError::Failed(sentence)) = explain(&args, &settings()).await else {
            panic!("it was not refused")
        };
        assert_eq!(sentence, NEITHER);
    }
}
