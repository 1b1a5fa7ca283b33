//! How do operators pause and resume callees and targets, and see how targets are doing?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Data};
use delivery::Parties;
use delivery::limits::{Key, Seen};
use journal::{Pause, PauseKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::refusal::Refusal;
use super::routes::{Answer, answer, named};
use super::wish::{self, Signed};
use super::{Desk, mend, moment};

/// As many targets as are shown one by one.
const MOST_TARGETS: usize = 100;

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PauseView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    pub(crate) who: String,
    /// Unix ms here and RFC 3339 in JSON.
    #[serde(with = "moment::as_text")]
    pub(crate) at: u64,
    pub(crate) reason: String,
}

/// A callee or target as one dispatcher sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    pub(crate) in_flight: u32,
    /// In memory, for its turn.
    pub(crate) waiting: u32,
    /// Since it is known here.
    pub(crate) parked: u64,
    pub(crate) breaker: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) probe_in_s: Option<f64>,
    /// How long it asked to be left alone (`Retry-After`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held_for_s: Option<f64>,
    /// Calls that ended since it is known here.
    pub(crate) calls: u64,
    /// Of the calls within the breaker's window; null without calls.
    pub(crate) success_share: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) paused: bool,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetsView {
    /// The busiest, most traffic first.
    pub(crate) targets: Vec<TargetView>,
    pub(crate) others: OthersView,
}

/// Those that are not shown one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OthersView {
    pub(crate) count: usize,
    pub(crate) in_flight: u32,
    pub(crate) parked: u64,
    pub(crate) calls: u64,
}

impl From<Pause> for PauseView {
    fn from(pause: Pause) -> Self {
        let (callee_no, target) = match pause.kind {
            PauseKind::Callee => (Some(pause.name), None),
            PauseKind::Target => (None, Some(pause.name)),
        };
        Self {
            callee_no,
            target,
            who: pause.who,
            at: pause.at,
            reason: pause.reason,
        }
    }
}

impl TargetView {
    fn of(seen: &Seen, paused: bool) -> Self {
        let (callee_no, target) = match &seen.key {
            Key::Callee(no) => (Some(no.to_string()), None),
            Key::Target(target) => (None, Some(target.to_string())),
        };
        let seconds = |time: Option<Duration>| time.map(|it| it.as_secs_f64());
        let ms = |time: Option<Duration>| time.map(|it| it.as_secs_f64() * 1_000.0);
        Self {
            callee_no,
            target,
            in_flight: seen.in_flight,
            waiting: seen.waiting,
            parked: seen.parked,
            breaker: seen.breaker.as_str().to_owned(),
            probe_in_s: seconds(seen.probe_in),
            held_for_s: seconds(seen.held_for),
            calls: seen.attempts.iter().sum(),
            success_share: seen.success_share(),
            p50_ms: ms(seen.p50),
            p99_ms: ms(seen.p99),
            paused,
        }
    }
}

/// `GET /api/targets`
pub(super) async fn targets(desk: Data<Desk>) -> Answer {
    let busiest = desk.targets.seen(MOST_TARGETS);
    let one = |seen: &Seen| TargetView::of(seen, desk.targets.is_paused(&seen.key));
    let others = busiest.others;
    answer(&TargetsView {
        targets: busiest.keys.iter().map(one).collect(),
        others: OthersView {
            count: others.keys,
            in_flight: others.in_flight,
            parked: others.parked,
            calls: others.attempts.iter().sum(),
        },
    })
}

/// `GET /api/pauses`
pub(super) async fn list(desk: Data<Desk>) -> Answer {
    let pauses = desk.pauses.clone();
    let all = desk.run(async move { Ok(pauses.list().await?) }).await?;
    let all: Vec<PauseView> = all.into_iter().map(PauseView::from).collect();
    answer(&json!({ "pauses": all }))
}

/// `POST /api/pauses`
pub(super) async fn pause(desk: Data<Desk>, http: HttpRequest, body: Bytes) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        callee_no: Option<String>,
        target: Option<String>,
        who: Option<String>,
        reason: Option<String>,
    }
    let body: Body = wish::json(&body)?;
    let signed = Signed::read(body.who, body.reason, named(&http).as_deref())?;
    let key = meant(body.callee_no, body.target)?;
    let key = registered(key, &desk.parties.get())?;
    let (pauses, journal) = (desk.pauses.clone(), desk.journal.clone());
    let name = key.to_string();
    let new = desk.run(async move {
        let Signed { who, reason } = signed.clone();
        let new = pauses.pause(&key, who, reason).await?;
        if new {
            mend::sign(journal.as_ref(), "pause", key.to_string(), signed, 1).await;
        }
        Ok(new)
    });
    answer(&json!({ "paused": name, "new": new.await? }))
}

/// `DELETE /api/pauses?callee_no=|target=&who=&reason=`
pub(super) async fn resume(desk: Data<Desk>, http: HttpRequest) -> Answer {
    let mut said: HashMap<String, String> = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(http.query_string().as_bytes()) {
        if !["callee_no", "target", "who", "reason"].contains(&&*name) {
            return Err(Refusal::Bad(format!("parameter {name:?} is not known")));
        }
        if said.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(Refusal::Bad(format!("parameter {name:?} is there twice")));
        }
    }
    let signed = Signed::read(
        said.remove("who"),
        said.remove("reason"),
        named(&http).as_deref(),
    )?;
    let key = meant(said.remove("callee_no"), said.remove("target"))?;
    // One that is not registered any more can be resumed all the same.
    let key = registered(key.clone(), &desk.parties.get()).unwrap_or(key);
    let (pauses, journal) = (desk.pauses.clone(), desk.journal.clone());
    let ended = desk.run(async move {
        let Some(ended) = pauses.resume(&key).await? else {
            return Err(Refusal::Unknown(format!("{key} is not paused")));
        };
        mend::sign(journal.as_ref(), "resume", key.to_string(), signed, 1).await;
        Ok(ended)
    });
    answer(&json!({ "resumed": PauseView::from(ended.await?) }))
}

fn meant(callee_no: Option<String>, target: Option<String>) -> Result<Key, Refusal> {
    match (callee_no, target) {
        (Some(no), None) if !no.trim().is_empty() => Ok(Key::Callee(no.as_str().into())),
        (None, Some(url)) => match Key::named(&url) {
            Ok(key @ Key::Target(_)) => Ok(key),
            Ok(Key::Callee(_)) => Err(Refusal::Bad(
                "target is no URL (write https://host:443)".to_owned(),
            )),
            Err(flaw) => Err(Refusal::Bad(format!("target: {flaw}"))),
        },
        _ => Err(Refusal::Bad("give either callee_no or target".to_owned())),
    }
}

/// The callee as it is registered: a slip of the pen would pause nobody.
fn registered(key: Key, parties: &Arc<Parties>) -> Result<Key, Refusal> {
    let Key::Callee(no) = &key else {
        return Ok(key);
    };
    match parties.find(no) {
        Some(party) => Ok(Key::Callee(party.no.as_str().into())),
        None => Err(Refusal::Unknown(format!("no callee {no} is registered"))),
    }
}
