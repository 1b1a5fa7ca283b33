//! Does the journal tell what really happened, every callback and every attempt of it?

mod rabbitmq;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tests::callers::Answer;
use tests::ledger::Told;
use tests::{GatewayOptions, Scene, Turn, eventually};

/// How many callbacks the comparison sends; more by the variable of this name.
const CALLBACKS: u64 = 2_000;
const VARIABLE: &str = "RINGBACK_E2E_RECORDED";
const CALLERS: usize = 32;
const WORKED_OFF: Duration = Duration::from_secs(300);

/// Seven are delivered at once; one later, one never, one is refused for good.
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
    let turn = Turn::take().await;
    let options = GatewayOptions::default().with_journal();
    let scene = Scene::start(&turn, options).await;
    let answers = scene.callers(&PATHS, CALLERS, most).done().await;
    let told = all_ended(&scene, &answers).await;
    let differing = differences(&scene, &told);
    assert!(differing.is_empty(), "{}: {differing:?}", differing.len());

    let mut count = BTreeMap::<&str, u64>::new();
    for body in told.values() {
        *count.entry(body["status"].as_str().unwrap()).or_default() += 1;
    }
    let ask = json!({"filter": {}, "dry_run": true});
    let dead = scene.operators("/api/dead/replay", Some(&ask)).await;
    println!("{count:?}, {dead}");
    assert_eq!(dead["matched"], json!(count["dead"]));
    let audit = scene.ledger(&answers).await.audit().sound();
    println!("{audit}");
    let expected = |status| usize::try_from(count[status]).unwrap();
    assert_eq!(audit.accepted, told.len());
    assert_eq!(
        (audit.dead, audit.delivered),
        (expected("dead"), expected("delivered"))
    );
    assert_eq!(count["dead"] + count["delivered"], most);
}

/// What the query says of every accepted callback, as soon as all have ended.
///
/// # Panics
/// When one has not after a while, or is denied.
async fn all_ended(scene: &Scene<'_>, answers: &[Answer]) -> BTreeMap<String, Value> {
    let mut open: Vec<String> = accepted(answers);
    let mut ended = BTreeMap::new();
    eventually("every callback's end", WORKED_OFF, async || {
        let asked = stream::iter(std::mem::take(&mut open)).map(async |id| {
            let answered = scene.query(&id).await;
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

fn accepted(answers: &[Answer]) -> Vec<String> {
    let told = answers.iter().filter_map(|answer| match &answer.told {
        Told::Accepted(id) => Some(id.clone()),
        Told::Refused | Told::Unknown(_) => None,
    });
    told.collect()
}

/// Those of which the journal tells another story than the target: with both.
fn differences(scene: &Scene<'_>, told: &BTreeMap<String, Value>) -> Vec<String> {
    let mut seen = BTreeMap::<String, Vec<(u64, Option<u64>)>>::new();
    for one in scene.callee.book.received() {
        let attempt = (one.attempt.unwrap().into(), one.status.map(u64::from));
        seen.entry(one.id.clone().unwrap())
            .or_default()
            .push(attempt);
    }
    let mut differing = Vec::new();
    for (id, body) in told {
        let seen = seen.remove(id).unwrap_or_default();
        let attempts = crate::query::attempts(body).into_iter();
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
