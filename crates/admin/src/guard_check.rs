//! Whether a URL or a callee may be called, and by which rule.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use delivery::{
    AdmittedBy, AllowList, CalleeRegistry, Guard, Guards, Refusal, TargetUrl, UrlError,
};
use dispatcher::{DispatcherConfig, addresses_of};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const NEITHER: &str =
    "refused: neither an absolute URL (http://10.0.0.1/) nor the number of a registered callee";
const CALLEE: &str = "admitted: a registered callee, to which the guard does not apply";
const LISTED: &str = "admitted: on the callee's list";

/// The rules that decide which targets may be called.
#[derive(Clone, Debug)]
pub struct GuardRules {
    /// The guards of callers' URLs.
    pub guards: Arc<Guards>,
    /// The registered callees.
    pub callees: Arc<CalleeRegistry>,
    /// The lists of allowed addresses of callees that have one, by number.
    pub callee_lists: BTreeMap<String, AllowList>,
    /// The registered apps.
    pub apps: BTreeSet<String>,
    /// How names are resolved.
    pub dispatcher: DispatcherConfig,
}

/// Whether this target may be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardQuestion {
    /// A `callback_url`, or the number of a registered callee.
    pub target: String,
    /// The app that sends the callback; by default an app without rules of its own.
    pub app: Option<String>,
    /// Addresses to which the name is assumed to resolve; if empty, it is resolved.
    pub addresses: Vec<IpAddr>,
}

/// The decision on a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuardReport {
    /// Scheme, host and port.
    pub target: String,
    /// The decision on each address, as far as the host came to be looked at.
    pub addresses: Vec<AddressDecision>,
    /// Why the target would not be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The decision on one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddressDecision {
    /// The address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// By which rule it is admitted or refused.
    pub decision: String,
}

/// The rules that apply to one target.
enum AppliedRules<'a> {
    /// For a caller's URL: the address guard.
    Guard(&'a Guard),
    /// For a registered callee: its list of allowed addresses, if it has one.
    Callee(Option<&'a AllowList>),
}

impl GuardRules {
    /// Decides on the target. Its name is resolved as for an attempt; nothing is called. Call it inside
    /// a Tokio runtime.
    ///
    /// # Errors
    /// A question that has no answer, in one sentence: neither a URL nor a callee, or an unknown app.
    pub async fn judge(&self, question: &GuardQuestion) -> Result<GuardReport, String> {
        let app = self.known_app(question.app.as_deref())?;
        let (url, rules) = match self.callees.find(&question.target) {
            Some(callee) => {
                let url = callee.url.clone();
                let url = url.ok_or_else(|| "this callee has no URL".to_owned())?;
                let list = self.callee_lists.get(&callee.no);
                (url, AppliedRules::Callee(list))
            }
            None => {
                let url = TargetUrl::parse(&question.target).map_err(|error| match error {
                    UrlError::Malformed => NEITHER.to_owned(),
                    error => format!("refused: {error}"),
                })?;
                (url, AppliedRules::Guard(self.guards.for_app(app)))
            }
        };
        let mut report = GuardReport {
            target: url.target().to_string(),
            addresses: Vec::new(),
            refused: None,
        };
        let decided = self.decide(&mut report.addresses, &rules, &url, &question.addresses);
        report.refused = decided.await.err();
        Ok(report)
    }

    /// The app of the question. The rules of a mistyped one would be those of any other app.
    fn known_app<'a>(&self, app: Option<&'a str>) -> Result<&'a str, String> {
        match app {
            None => Ok(""),
            Some(app) if self.apps.contains(app) => Ok(app),
            Some(app) => {
                let known: Vec<&str> = self.apps.iter().map(String::as_str).collect();
                let known = match known.as_slice() {
                    [] => "none is registered".to_owned(),
                    known => format!("known: {}", known.join(", ")),
                };
                Err(format!(
                    "no app {app:?} is registered ({known}); without --app the rules are those of an \
                     app without its own"
                ))
            }
        }
    }

    async fn decide(
        &self,
        rows: &mut Vec<AddressDecision>,
        rules: &AppliedRules<'_>,
        url: &TargetUrl,
        assumed: &[IpAddr],
    ) -> Result<(), String> {
        let mut row = |address, decision| rows.push(AddressDecision { address, decision });
        let by_url = rules.url(url).map_err(|refusal| rules.said(refusal))?;
        if let Some(literal) = url.literal() {
            row(literal, by_url);
            return Ok(());
        }
        let target = url.target();
        let addresses = match assumed {
            [] => addresses_of(&self.dispatcher, target.host()).await?,
            assumed => assumed.to_vec(),
        };
        let mut refused = None;
        for address in addresses {
            match rules.address(target.host(), address) {
                Ok(by) => row(address, by),
                Err(refusal) => {
                    row(address, sentence(&refusal));
                    refused = refused.or(Some(refusal));
                }
            }
        }
        match refused {
            None => Ok(()),
            Some(refusal) => Err(rules.said(refusal)),
        }
    }
}

impl AppliedRules<'_> {
    /// The sentence of a refusal, with the setting that decides.
    fn said(&self, refusal: Refusal) -> String {
        let setting = match self {
            Self::Guard(_) => refusal.setting(),
            Self::Callee(_) => Some("callees.NO.allowed_addresses"),
        };
        let setting = setting.map_or_else(String::new, |it| format!("; the setting is {it}"));
        format!("{}{setting}", sentence(&refusal))
    }

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

fn admitted(by: AdmittedBy<'_>) -> String {
    match by {
        AdmittedBy::Public => "admitted: public".to_owned(),
        AdmittedBy::Rule(rule) => format!("admitted: allowed by {rule}"),
    }
}

fn sentence(refusal: &Refusal) -> String {
    format!("refused: {refusal} ({})", refusal.as_str())
}

#[cfg(test)]
impl GuardRules {
    /// Nothing is registered, and only public addresses are allowed.
    pub(crate) fn closed() -> Self {
        Self {
            guards: Arc::default(),
            callees: Arc::new(CalleeRegistry::new([]).unwrap()),
            callee_lists: BTreeMap::new(),
            apps: BTreeSet::new(),
            dispatcher: DispatcherConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_text_that_is_neither_url_nor_callee_number_is_refused_as_such() {
        let question = GuardQuestion {
            target: "EO999".to_owned(),
            ..GuardQuestion::default()
        };
        let answer = GuardRules::closed().judge(&question).await;
        assert_eq!(answer, Err(NEITHER.to_owned()));
    }
}
