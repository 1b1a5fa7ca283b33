//! Does a key make many requests one, whatever comes between them?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tests::callers::{self, told};
use tests::gateway::Answered;
use tests::ledger::Told;
use tests::{GatewayOptions, Scene, Turn, World, dwindles, eventually, http, together};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::query::status;
use crate::shared::journaled;

const SOON: Duration = Duration::from_secs(60);
/// As long as a claim of a process that died holds, and more.
const TAKEN_UP: Duration = Duration::from_secs(60);

async fn keyed(world: &World, body: &str, key: &str) -> Answered {
    let headers = [("idempotency-key", key)];
    world.gateway.post_raw(body.to_owned(), &headers).await
}

/// Asks until the answer is certain, as callers should: a 503 may have been too many at once.
async fn insisted(world: &World, body: &str, key: &str) -> Answered {
    eventually("an answer that is certain", SOON, async || {
        let answered = keyed(world, body, key).await;
        match answered.status {
            503 => Err(format!("{answered:?}")),
            _ => Ok(answered),
        }
    })
    .await
}

#[test]
fn a_hundred_requests_at_once_with_one_key_are_one_callback() {
    together(async {
        let world = journaled().await;
        let body = world.callback("/ok/hundred").to_string();
        let answers = join_all((0..100).map(|_| insisted(&world, &body, "hundred"))).await;
        let ids: BTreeSet<String> = answers.iter().map(Answered::accepted).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let id = ids.first().unwrap();
        world.received(id, 1).await;
        // Absence is shown by another that is sent later and takes longer.
        let later = world.send(&world.callback("/slow/500")).await;
        status(&world, &later, "delivered").await;
        let received = world.callee.book.received();
        let here = received.iter().filter(|it| it.path == "/ok/hundred");
        let here: Vec<_> = here.map(|it| it.id.clone().unwrap()).collect();
        assert_eq!(here, std::slice::from_ref(id));
    });
}

#[test]
fn a_key_with_another_body_is_a_conflict_and_nothing_is_sent() {
    together(async {
        let world = journaled().await;
        let body = world.callback("/ok/conflict").to_string();
        let first = keyed(&world, &body, "conflict").await.accepted();
        let other = keyed(&world, &format!("{body} "), "conflict").await;
        assert_eq!((other.status, other.code().as_str()), (409, "409"));
        assert_eq!(other.request_id(), None);
        // Another app's key is another key.
        let mut another = world.callback("/ok/conflict");
        another["app_id"] = json!("another");
        let second = keyed(&world, &another.to_string(), "conflict")
            .await
            .accepted();
        assert_ne!(first, second);
        for id in [&first, &second] {
            world.received(id, 1).await;
        }
        let received = world.callee.book.received();
        let here = received.iter().filter(|it| it.path == "/ok/conflict");
        assert_eq!(here.count(), 2);
    });
}

/// What the callers of a run were told for each key: its token and every answer.
type Answers = Arc<Mutex<BTreeMap<String, (u64, Vec<Told>)>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_under_load_gives_every_key_one_id() {
    let turn = Turn::take().await;
    let options = GatewayOptions::default().with_journal();
    let mut scene = Scene::start(&turn, options).await;
    let target = scene.callee.url("/ok");
    let (answers, stop) = (Answers::default(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    for caller in 0..16 {
        let (answers, stop) = (answers.clone(), stop.clone());
        let (url, target) = (scene.callback_url(), target.clone());
        tasks.spawn(async move {
            let client = http::client();
            for turn in 0.. {
                if stop.is_cancelled() {
                    return;
                }
                let (key, token) = (format!("{caller}-{turn}"), callers::next_token());
                let told = ask(&client, &url, token, &target, &key).await;
                let polite = !matches!(told, Told::Accepted(_));
                answers.lock().unwrap().insert(key, (token, vec![told]));
                if polite {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    let accepted = || {
        let answers = answers.lock().unwrap();
        let all = answers.values().flat_map(|(_, told)| told);
        all.filter(|it| matches!(it, Told::Accepted(_))).count()
    };
    for _ in 0..3 {
        let before = accepted();
        dwindles("callbacks still to be accepted", SOON, async || {
            let more = accepted() - before;
            Ok((201_usize.saturating_sub(more), format!("{more} more")))
        })
        .await;
        scene.restart_ingress().await;
    }
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let client = http::client();
    let mut answers = std::mem::take(&mut *answers.lock().unwrap());
    let mut repeated = 0;
    for (key, (token, told)) in &mut answers {
        let url = scene.callback_url();
        let last = eventually(&format!("{key} accepted"), TAKEN_UP, async || {
            match ask(&client, &url, *token, &target, key).await {
                Told::Accepted(id) => Ok(id),
                other => {
                    told.push(other.clone());
                    Err(format!("{other:?}"))
                }
            }
        })
        .await;
        repeated += usize::from(!matches!(told[0], Told::Accepted(_)));
        told.push(Told::Accepted(last));
    }
    let mut received = BTreeMap::<u64, Vec<String>>::new();
    dwindles("callbacks not yet at the target", SOON, async || {
        received.clear();
        for one in scene.callee.book.received() {
            let token = callers::token(one.body.as_bytes()).unwrap();
            let ids = received.entry(token).or_default();
            ids.push(one.id.clone().unwrap());
        }
        let missing = answers.len() - received.len();
        Ok((missing, format!("{missing} missing")))
    })
    .await;
    let mut calls = 0;
    for (key, (token, told)) in &answers {
        let mut ids: BTreeSet<&str> = received[token].iter().map(|id| &**id).collect();
        calls += received[token].len();
        for one in told {
            match one {
                Told::Accepted(id) | Told::Unknown(Some(id)) => ids.insert(id),
                Told::Refused | Told::Unknown(None) => false,
            };
        }
        assert_eq!(
            ids.len(),
            1,
            "{key}: {told:?}, received {:?}",
            received[token]
        );
    }
    let keys = answers.len();
    println!("{keys} keys, {repeated} not accepted at first, {calls} calls");
}

async fn ask(client: &reqwest::Client, url: &str, token: u64, target: &str, key: &str) -> Told {
    let request = client.post(url).header("idempotency-key", key);
    let request = request.body(callers::request(token, target));
    match request.send().await {
        Err(error) if error.is_connect() => Told::Refused,
        Err(_) => Told::Unknown(None),
        Ok(answered) => {
            let status = answered.status().as_u16();
            match answered.bytes().await {
                Ok(body) => told(status, &body),
                Err(_) => Told::Unknown(None),
            }
        }
    }
}
