//! How does somebody pause and resume, and look at targets, on the command line?

use boot::settings::Settings;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::api::{Api, read};
use super::args::Place;
use super::{get_one, paced, raw, table};
use crate::admin::pauses::{PauseView, TargetsView};
use crate::failure::Failure;
use crate::say::say;

/// A callee or target, and why.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// A registered callee's number, or any URL of a target: https://host:443
    #[arg(value_name = "CALLEE_OR_URL")]
    whom: String,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY")]
    reason: String,
    #[command(flatten)]
    place: Place,
}

/// Where targets are asked about.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The operators' API of a dispatcher: may be said several times, once for each.
    #[arg(long, value_name = "URL", conflicts_with = "admin")]
    dispatcher: Vec<Url>,
    #[command(flatten)]
    place: Place,
}

/// The parameter that a callee or target is.
fn named(whom: &str) -> &'static str {
    match whom.contains("://") {
        true => "target",
        false => "callee_no",
    }
}

/// `ringback pause`
///
/// # Errors
/// No answer, or a refusal, in one sentence.
pub(crate) async fn pause(asked: Whom, settings: &Settings) -> Result<(), Failure> {
    let api = Api::new(asked.place.admin, &settings.admin)?;
    let mut body = json!({ "who": paced::who(), "reason": asked.reason });
    let name = named(&asked.whom);
    body[name] = asked.whom.into();
    let answer = api.post("/api/pauses", &body).await?;
    if asked.place.json {
        return raw(&answer);
    }
    let answer: Value = read(&answer)?;
    let name = answer["paused"].as_str().unwrap_or_default();
    let said = match answer["new"].as_bool() {
        Some(false) => format!("{name} is paused already"),
        _ => format!(
            "{name} is paused: from the next second or two on it gets nothing until `ringback resume`"
        ),
    };
    Ok(say(&said)?)
}

/// `ringback resume`
///
/// # Errors
/// As [`pause`].
pub(crate) async fn resume(asked: Whom, settings: &Settings) -> Result<(), Failure> {
    let api = Api::new(asked.place.admin, &settings.admin)?;
    let parameters = [
        (named(&asked.whom), asked.whom.clone()),
        ("who", paced::who()),
        ("reason", asked.reason),
    ];
    let answer = api.delete("/api/pauses", &parameters).await?;
    if asked.place.json {
        return raw(&answer);
    }
    let said = "resumed: what waits for it comes back one after the other, within 7 minutes";
    Ok(say(said)?)
}

/// `ringback pauses`
///
/// # Errors
/// As [`pause`].
pub(crate) async fn pauses(place: Place, settings: &Settings) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Pauses {
        pauses: Vec<PauseView>,
    }
    let api = Api::new(place.admin, &settings.admin)?;
    let body = get_one(&api, "/api/pauses").await?;
    if place.json {
        return raw(&body);
    }
    let Pauses { pauses } = read(&body)?;
    Ok(say(&table::pauses(&pauses))?)
}

/// `ringback targets`
///
/// # Errors
/// As [`pause`]; with several dispatchers after the others have been shown.
pub(crate) async fn targets(asked: Where, settings: &Settings) -> Result<(), Failure> {
    let Where { dispatcher, place } = asked;
    if dispatcher.is_empty() {
        let api = Api::new(place.admin, &settings.admin)?;
        return show_targets(&api, place.json).await;
    }
    let several = dispatcher.len() > 1 && !place.json;
    let mut failed = None;
    for url in dispatcher {
        if several {
            say(&format!("dispatcher {url}"))?;
        }
        let api = Api::new(Some(url), &settings.admin)?;
        match show_targets(&api, place.json).await {
            Ok(()) => {}
            Err(failure) if several => {
                say(&failure.sentence())?;
                failed = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
        if several {
            say("")?;
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn show_targets(api: &Api, as_json: bool) -> Result<(), Failure> {
    let body = get_one(api, "/api/targets").await?;
    if as_json {
        return raw(&body);
    }
    let view: TargetsView = read(&body)?;
    say(&table::targets(&view.targets))?;
    let others = view.others;
    if others.calls + others.parked > 0 {
        say(&format!(
            "... and {} more: {} in flight, {} parked, {} calls",
            others.count, others.in_flight, others.parked, others.calls
        ))?;
    }
    Ok(())
}
