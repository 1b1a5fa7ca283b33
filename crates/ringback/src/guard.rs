//! May this URL be called, and by which rule?

use std::fmt::Write;
use std::net::IpAddr;

use boot::settings::Settings;
use delivery::{Admission, AllowList, Entry, Guard, Refusal, TargetUrl, UrlFlaw};
use dispatcher::addresses_of;

use crate::equipment::{Equipment, parsed};
use crate::failure::Failure;
use crate::say::say;

const NEITHER: &str = "refused: neither an absolute URL nor the number of a registered callee";

/// What `ringback guard` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Asked {
    /// A callback_url, or the number of a registered callee.
    target: String,
    /// The app whose callback it is; without it, one that has nothing of its own.
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// As if the name resolved to this address; may be repeated. Nobody is asked then.
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
}

/// Who judges.
enum Judge<'a> {
    /// A caller's URL: the guard.
    Guard(&'a Guard),
    /// A registered callee: its own list, if it has one.
    Callee(Option<AllowList>),
}

/// `ringback guard`: says how each address is judged; fails where the target would not be called.
///
/// # Errors
/// The settings' fault, or the verdict.
pub(crate) async fn explain(asked: Asked, settings: &Settings) -> Result<(), Failure> {
    let (told, verdict) = explained(&asked, settings).await?;
    say(told.trim_end())?;
    verdict.map_err(Failure::Found)
}

/// What is told, and the verdict.
async fn explained(
    asked: &Asked,
    settings: &Settings,
) -> Result<(String, Result<(), String>), Failure> {
    let equipment = Equipment::check(settings)?;
    let guards = equipment.guards(&[]);
    let app = asked.app.as_deref().unwrap_or_default();
    let party = equipment.parties.find(&asked.target);
    let (url, judge) = match party {
        Some(party) => {
            let url = party.url.clone();
            let url = url.ok_or_else(|| Failure::Found("this callee has no URL".to_owned()))?;
            let key = format!("callees.{}.only", party.no);
            let only = settings.callees.get(&party.no).map(|it| &*it.only);
            let only = only.filter(|only| !only.is_empty());
            let only = only.map(|only| parsed::<Entry>(&key, only)).transpose()?;
            (url, Judge::Callee(only.map(AllowList::new)))
        }
        None => {
            let url = TargetUrl::parse(&asked.target);
            let url = url.map_err(|flaw| match flaw {
                UrlFlaw::Malformed => Failure::Found(NEITHER.to_owned()),
                flaw => Failure::Found(format!("refused: {flaw}")),
            })?;
            (url, Judge::Guard(guards.of(app)))
        }
    };
    let mut told = format!("target   {}\n", url.target());
    let verdict = judged(&mut told, &judge, &url, &asked.address, settings).await;
    Ok((told, verdict))
}

async fn judged(
    told: &mut String,
    judge: &Judge<'_>,
    url: &TargetUrl,
    supposed: &[IpAddr],
    settings: &Settings,
) -> Result<(), String> {
    let by_itself = judge.url(url).map_err(|refusal| sentence(&refusal))?;
    if let Some(literal) = url.literal() {
        row(told, literal, &by_itself);
        return Ok(());
    }
    let target = url.target();
    let found = match supposed {
        [] => addresses_of(&settings.dispatcher, target.host()).await?,
        supposed => supposed.to_vec(),
    };
    let mut refused = None;
    for address in found {
        match judge.address(target.host(), address) {
            Ok(by) => row(told, address, &by),
            Err(refusal) => {
                row(told, address, &sentence(&refusal));
                refused = refused.or(Some(refusal));
            }
        }
    }
    match refused {
        None => Ok(()),
        Some(refusal) => Err(sentence(&refusal)),
    }
}

impl Judge<'_> {
    fn url(&self, url: &TargetUrl) -> Result<String, Refusal> {
        match self {
            Self::Guard(guard) => Ok(guard.judge_url(url)?.map(admitted).unwrap_or_default()),
            Self::Callee(None) => Ok(CALLEE.to_owned()),
            Self::Callee(Some(only)) => only.admit_url(url).map(|()| LISTED.to_owned()),
        }
    }

    fn address(&self, host: &str, address: IpAddr) -> Result<String, Refusal> {
        match self {
            Self::Guard(guard) => guard.judge_name(host, address).map(admitted),
            Self::Callee(None) => Ok(CALLEE.to_owned()),
            Self::Callee(Some(only)) => only.admit(host, address).map(|()| LISTED.to_owned()),
        }
    }
}

const CALLEE: &str = "admitted: a registered callee, which the guard does not judge";
const LISTED: &str = "admitted: on the callee's list";

fn admitted(by: Admission<'_>) -> String {
    match by {
        Admission::Public => "admitted: public".to_owned(),
        Admission::Opened(entry) => format!("admitted: opened by {entry}"),
    }
}

fn sentence(refusal: &Refusal) -> String {
    format!("refused: {refusal} ({})", refusal.as_str())
}

/// Writing to a String cannot fail.
fn row(told: &mut String, address: IpAddr, judged: &str) {
    let _ = writeln!(told, "{address}   {judged}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let variables = [
            ("GUARD__ALLOW", "10.0.0.0/8,hooks.internal"),
            ("GUARD__CLOSED_PORTS", "25"),
            ("APPS__shop__ONLY", "*.shop.example"),
            ("CALLEES__EO001__URL", "http://crm.internal/"),
            ("CALLEES__EO002__URL", "http://crm.internal/"),
            ("CALLEES__EO002__ONLY", "10.2.0.0/16"),
        ];
        let variables =
            variables.map(|(key, value)| (format!("RINGBACK__{key}"), value.to_owned()));
        Settings::load(None, variables.into_iter()).unwrap()
    }

    #[tokio::test]
    async fn each_address_is_told_with_the_rule_that_judged_it() {
        let table = [
            (
                "http://10.1.2.3/",
                "",
                &[][..],
                "opened by 10.0.0.0/8",
                None,
            ),
            ("http://8.8.8.8/", "", &[], "admitted: public", None),
            ("http://8.8.8.8:25/", "", &[], "", Some("closed_port")),
            ("http://2130706433/", "", &[], "", Some("loopback")),
            (
                "http://hooks.internal/",
                "",
                &["127.0.0.1"],
                "opened by hooks.internal",
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
        for (target, app, supposed, says, refused) in table {
            let asked = Asked {
                target: target.to_owned(),
                app: Some(app.to_owned()),
                address: supposed.iter().map(|it| it.parse().unwrap()).collect(),
            };
            let (told, verdict) = explained(&asked, &settings()).await.unwrap();
            assert!(told.contains(says), "{target} {supposed:?}: {told}");
            let found = verdict.err();
            let named = refused.map(|rule| format!("({rule})"));
            let fits = match (&found, &named) {
                (None, None) => true,
                (Some(found), Some(named)) => found.ends_with(named.as_str()),
                _ => false,
            };
            assert!(fits, "{target} {supposed:?}: {found:?}");
        }
    }

    #[tokio::test]
    async fn what_is_neither_a_url_nor_a_number_is_called_so() {
        let asked = Asked {
            target: "EO999".to_owned(),
            app: None,
            address: Vec::new(),
        };
        let Err(Failure::Found(told)) = explained(&asked, &settings()).await else {
            panic!("it was judged")
        };
        assert_eq!(told, NEITHER);
    }
}
