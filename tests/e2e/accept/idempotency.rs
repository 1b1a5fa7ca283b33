//! The header `Idempotency-Key`: concurrent requests, conflicts and crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tests::callers::{self, acceptance};
use tests::gateway::GatewayResponse;
use tests::ledger::Acceptance;
use tests::{
    ExclusiveBroker, GatewayOptions, Scenario, SharedGateway, eventually, http, on_shared_runtime,
    until_none_left,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accept::query::status;
use crate::fixtures::journaled;

const SOON: Duration = Duration::from_secs(60);
/// Longer than the claim of a dead process holds.
const TAKEN_UP: Duration = Duration::from_secs(60);

async fn keyed(fixture: &SharedGateway, body: &str, key: &str) -> GatewayResponse {
    let headers = [("idempotency-key", key)];
    fixture.gateway.post_raw(body.to_owned(), &headers).await
}

/// Repeats the request until the answer is certain, as callers should: a 503 may mean overload.
async fn insisted(fixture: &SharedGateway, body: &str, key: &str) -> GatewayResponse {
    eventually("an answer that is certain", SOON, async || {
        let answered = keyed(fixture, body, key).await;
        match answered.status {
            503 => Err(format!("{answered:?}")),
            _ => Ok(answered),
        }
    })
    .await
}

#[test]
fn a_hundred_requests_at_once_with_one_key_are_one_callback() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let body = fixture.callback("/ok/hundred").to_string();
        let answers = join_all((0..100).map(|_| insisted(&fixture, &body, "hundred"))).await;
        let ids: BTreeSet<String> = answers.iter().map(GatewayResponse::accepted).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let id = ids.first().unwrap();
        fixture.received(id, 1).await;
        // A later callback that takes longer proves that there is no second delivery.
        let later = fixture.send(&fixture.callback("/slow/500")).await;
        status(&fixture, &later, "delivered").await;
        let received = fixture.callee.requests.received();
        let here = received.iter().filter(|it| it.path == "/ok/hundred");
        let here: Vec<_> = here.map(|it| it.id.clone().unwrap()).collect();
        assert_eq!(here, std::slice::from_ref(id));
    });
}

#[test]
fn a_key_with_another_body_is_a_conflict_and_nothing_is_sent() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let body = fixture.callback("/ok/conflict").to_string();
        let first = keyed(&fixture, &body, "conflict").await.accepted();
        let other = keyed(&fixture, &format!("{body} "), "conflict").await;
        assert_eq!((other.status, other.code().as_str()), (409, "409"));
        assert_eq!(other.request_id(), None);
        // The same key of another app is another key.
        let mut another = fixture.callback("/ok/conflict");
        another["app_id"] = json!("another");
        let second = keyed(&fixture, &another.to_string(), "conflict")
            .await
            .accepted();
        assert_ne!(first, second);
        for id in [&first, &second] {
            fixture.received(id, 1).await;
        }
        let received = fixture.callee.requests.received();
        let here = received.iter().filter(|it| it.path == "/ok/conflict");
        assert_eq!(here.count(), 2);
    });
}

/// The answers for each key in a run, with its token.
type Answers = Arc<Mutex<BTreeMap<String, (u64, Vec<Acceptance>)>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_under_load_gives_every_key_one_id() {
    let turn = ExclusiveBroker::take().await;
    let options = GatewayOptions::default().with_journal();
    let mut scenario = Scenario::start(&turn, options).await;
    let target = scenario.callee.url("/ok");
    let (answers, stop) = (Answers::default(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    for caller in 0..16 {
        let (answers, stop) = (answers.clone(), stop.clone());
        let (url, target) = (scenario.callback_url(), target.clone());
        tasks.spawn(async move {
            let client = http::client();
            for turn in 0.. {
                if stop.is_cancelled() {
                    return;
                }
                let (key, token) = (format!("{caller}-{turn}"), callers::next_token());
                let acceptance = ask(&client, &url, token, &target, &key).await;
                let polite = !matches!(acceptance, Acceptance::Accepted(_));
                answers
                    .lock()
                    .unwrap()
                    .insert(key, (token, vec![acceptance]));
                if polite {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    let accepted = || {
        let answers = answers.lock().unwrap();
        let all = answers.values().flat_map(|(_, acceptances)| acceptances);
        all.filter(|it| matches!(it, Acceptance::Accepted(_)))
            .count()
    };
    for _ in 0..3 {
        let before = accepted();
        until_none_left("callbacks still to be accepted", SOON, async || {
            let more = accepted() - before;
            Ok((201_usize.saturating_sub(more), format!("{more} more")))
        })
        .await;
        scenario.restart_ingress().await;
    }
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let client = http::client();
    let mut answers = std::mem::take(&mut *answers.lock().unwrap());
    let mut repeated = 0;
    for (key, (token, acceptances)) in &mut answers {
        let url = scenario.callback_url();
        let last = eventually(&format!("{key} accepted"), TAKEN_UP, async || {
            match ask(&client, &url, *token, &target, key).await {
                Acceptance::Accepted(id) => Ok(id),
                other => {
                    acceptances.push(other.clone());
                    Err(format!("{other:?}"))
                }
            }
        })
        .await;
        repeated += usize::from(!matches!(acceptances[0], Acceptance::Accepted(_)));
        acceptances.push(Acceptance::Accepted(last));
    }
    let mut received = BTreeMap::<u64, Vec<String>>::new();
    until_none_left("callbacks not yet at the target", SOON, async || {
        received.clear();
        for one in scenario.callee.requests.received() {
            let token = callers::token(one.body.as_bytes()).unwrap();
            let ids = received.entry(token).or_default();
            ids.push(one.id.clone().unwrap());
        }
        let missing = answers.len() - received.len();
        Ok((missing, format!("{missing} missing")))
    })
    .await;
    let mut calls = 0;
    for (key, (token, acceptances)) in &answers {
        let mut ids: BTreeSet<&str> = received[token].iter().map(|id| &**id).collect();
        calls += received[token].len();
        for one in acceptances {
            match one {
                Acceptance::Accepted(id) | Acceptance::Unknown(Some(id)) => ids.insert(id),
                Acceptance::Refused | Acceptance::Unknown(None) => false,
            };
        }
        assert_eq!(
            ids.len(),
            1,
            "{key}: {acceptances:?}, received {:?}",
            received[token]
        );
    }
    let keys = answers.len();
    println!("{keys} keys, {repeated} not accepted at first, {calls} calls");
}

async fn ask(
    client: &reqwest::Client,
    url: &str,
    token: u64,
    target: &str,
    key: &str,
) -> Acceptance {
    let request = client.post(url).header("idempotency-key", key);
    let request = request.body(callers::request(token, target));
    match request.send().await {
        Err(error) if error.is_connect() => Acceptance::Refused,
        Err(_) => Acceptance::Unknown(None),
        Ok(answered) => {
            let status = answered.status().as_u16();
            match answered.bytes().await {
                Ok(body) => acceptance(status, &body),
                Err(_) => Acceptance::Unknown(None),
            }
        }
    }
}
