//! The journal agrees with the target about every callback and every attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tests::callers::{CallerAnswer, accepted_ids};
use tests::{ExclusiveBroker, GatewayOptions, Scenario, eventually};

/// How many callbacks the comparison sends; set [`VARIABLE`] for more.
const CALLBACKS: u64 = 2_000;
const VARIABLE: &str = "RINGBACK_E2E_RECORDED";
const CALLERS: usize = 32;
const WORKED_OFF: Duration = Duration::from_secs(300);

/// Seven are delivered at once, one later, one never; one is rejected.
const PATHS: [&str; 10] = [
    "/ok",
    "/ok",
    "/flaky/1",
    "/ok",
    "/ok",
    "/status/503",
    "/ok",
    "/ok",
    "/status/410",
    "/ok",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_agrees_with_the_target_and_with_the_ledger() {
    let most = std::env::var(VARIABLE).map_or(CALLBACKS, |it| it.parse().unwrap());
    let turn = ExclusiveBroker::take().await;
    let options = GatewayOptions::default().with_journal();
    let scenario = Scenario::start(&turn, options).await;
    let answers = scenario.callers(&PATHS, CALLERS, most).done().await;
    let reports = all_ended(&scenario, &answers).await;
    let differing = differences(&scenario, &reports);
    assert!(differing.is_empty(), "{}: {differing:?}", differing.len());

    let mut count = BTreeMap::<&str, u64>::new();
    for body in reports.values() {
        *count.entry(body["status"].as_str().unwrap()).or_default() += 1;
    }
    let ask = json!({"filter": {}, "dry_run": true});
    let dead = scenario
        .admin("/admin/v1/dead-letters/replay", Some(&ask))
        .await;
    println!("{count:?}, {dead}");
    assert_eq!(dead["matched"], json!(count["dead"]));
    let audit = scenario.ledger(&answers).await.audit().sound();
    println!("{audit}");
    let expected = |status| usize::try_from(count[status]).unwrap();
    assert_eq!(audit.accepted, reports.len());
    assert_eq!(
        (audit.dead, audit.delivered),
        (expected("dead"), expected("delivered"))
    );
    assert_eq!(count["dead"] + count["delivered"], most);
}

/// The answer to the query for every accepted callback, once all have ended.
///
/// # Panics
/// When one has not ended after a while, or is denied.
pub(crate) async fn all_ended(
    scenario: &Scenario<'_>,
    answers: &[CallerAnswer],
) -> BTreeMap<String, Value> {
    these_ended(scenario, accepted(answers)).await
}

/// The same, of these callbacks.
pub(crate) async fn these_ended(
    scenario: &Scenario<'_>,
    mut open: Vec<String>,
) -> BTreeMap<String, Value> {
    let mut ended = BTreeMap::new();
    eventually("every callback's end", WORKED_OFF, async || {
        let asked = stream::iter(std::mem::take(&mut open)).map(async |id| {
            let answered = scenario.query(&id).await;
            (id, answered)
        });
        let asked: Vec<_> = asked.buffer_unordered(8).collect().await;
        let mut last = String::new();
        for (id, answered) in asked {
            let body = answered.json();
            assert!(
                matches!(answered.status, 200 | 503),
                "{id} is denied: {body}"
            );
            if matches!(body["status"].as_str(), Some("delivered" | "dead")) {
                ended.insert(id, body);
            } else {
                last = format!("{}: {body}", answered.status);
                open.push(id);
            }
        }
        let left = open.len();
        (left == 0)
            .then_some(())
            .ok_or(format!("{left} open, {last}"))
    })
    .await;
    ended
}

pub(crate) fn accepted(answers: &[CallerAnswer]) -> Vec<String> {
    accepted_ids(answers).map(str::to_owned).collect()
}

/// The callbacks about which journal and target disagree, with both accounts.
pub(crate) fn differences(
    scenario: &Scenario<'_>,
    reports: &BTreeMap<String, Value>,
) -> Vec<String> {
    let mut seen = BTreeMap::<String, Vec<(u64, Option<u64>)>>::new();
    for one in scenario.callee.requests.received() {
        let attempt = (one.attempt.unwrap().into(), one.status.map(u64::from));
        seen.entry(one.id.clone().unwrap())
            .or_default()
            .push(attempt);
    }
    let mut differing = Vec::new();
    for (id, body) in reports {
        let seen = seen.remove(id).unwrap_or_default();
        let attempts = crate::accept::query::attempts(body).into_iter();
        let attempts: Vec<_> = attempts
            .map(|(number, _, status)| (number, status))
            .collect();
        let taken = seen.iter().any(|(_, status)| *status == Some(200));
        if attempts != seen || taken != (body["status"] == "delivered") {
            differing.push(format!("{body} and the target saw {seen:?}"));
        }
    }
    differing.extend(
        seen.into_keys()
            .map(|id| format!("{id} was never accepted")),
    );
    differing
}
