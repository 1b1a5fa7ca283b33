//! The intake is bounded by everything that is unfinished, and one app does not close it to others.

use std::time::Duration;

use serde_json::{Value, json};
use tests::gateway::GatewayResponse;
use tests::ports::free_port;
use tests::{GatewayOptions, GatewayRole, SharedGateway};
use tests::{eventually, on_shared_runtime};

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);

/// `ingress.max_waiting`; an app's share is 20 of it.
const MAX_WAITING: usize = 80;

/// A gateway whose retries wait for ten minutes.
async fn gateway() -> SharedGateway {
    SharedGateway::start(|_| {
        let options = GatewayOptions {
            schedule: "600s".to_owned(),
            ..GatewayOptions::default()
        };
        options
            .with_journal()
            .with_ingress("RINGBACK__INGRESS__MAX_WAITING", &MAX_WAITING.to_string())
    })
    .await
}

fn of_app(fixture: &SharedGateway, app_id: &str, path: &str) -> Value {
    let mut callback = fixture.callback(path);
    callback["app_id"] = json!(app_id);
    callback
}

fn in_a_week(fixture: &SharedGateway, app_id: &str) -> Value {
    let mut callback = of_app(fixture, app_id, "/ok");
    callback["options"] = json!({ "delay_seconds": 604_800 });
    callback
}

/// Sends this callback until its app is refused. Returns the ids of the accepted ones.
async fn fill(fixture: &SharedGateway, callback: &Value) -> (Vec<String>, GatewayResponse) {
    let mut accepted = Vec::new();
    let refused = eventually("a refusal", SOON, async || {
        let answered = fixture.gateway.post(callback).await;
        if answered.status == 200 {
            accepted.push(answered.accepted());
            return Err(format!("{} accepted", accepted.len()));
        }
        // What was accepted just now may be counted twice, and fill the broker for a moment.
        match answered.status {
            503 => Err(format!("{} accepted, and full", accepted.len())),
            _ => Ok(answered),
        }
    })
    .await;
    (accepted, refused)
}

fn check_app_refusal(refused: &GatewayResponse) {
    assert_eq!(
        (refused.status, &*refused.code()),
        (429, "429"),
        "{refused:?}"
    );
    assert_eq!(refused.request_id(), None);
    let after = refused.headers["retry-after"].to_str().unwrap();
    assert!(after.parse::<u32>().unwrap() > 0, "{after}");
}

/// Others are accepted and delivered.
async fn check_open_for(fixture: &SharedGateway, app_id: &str) {
    let callback = of_app(fixture, app_id, "/ok");
    let id = fixture.send(&callback).await;
    fixture.received(&id, 1).await;
}

/// The value of a series of ingress's metrics.
async fn gauge(fixture: &SharedGateway, series: &str) -> Option<usize> {
    let page = fixture.gateway.metrics(GatewayRole::Ingress).await;
    let values = page.lines().filter_map(|line| line.strip_prefix(series));
    // A series without labels may have an empty list of them.
    let mut values = values.filter_map(|value| value.trim_start_matches("{}").trim().parse().ok());
    values.next()
}

async fn gauge_becomes(fixture: &SharedGateway, series: &str, wanted: usize) {
    eventually(series, SOON, async || match gauge(fixture, series).await {
        Some(value) if value == wanted => Ok(()),
        other => Err(format!("{other:?}, not {wanted}")),
    })
    .await;
}

#[test]
fn what_waits_is_bounded_per_app_and_in_all_and_cancelling_frees_the_intake() {
    on_shared_runtime(async {
        let fixture = gateway().await;
        let (mut ids, refused) = fill(&fixture, &in_a_week(&fixture, "greedy")).await;
        check_app_refusal(&refused);
        // Its share binds from half of the bound on; what was accepted just now may be counted twice
        // for a moment.
        assert!(ids.len() > MAX_WAITING / 4, "{} accepted", ids.len());
        assert!(ids.len() < MAX_WAITING, "{} accepted", ids.len());
        check_open_for(&fixture, "other").await;
        ids.push(fixture.send(&in_a_week(&fixture, "other")).await);
        let greedy = ids.len() - 1;
        gauge_becomes(&fixture, "ringback_app_waiting{app_id=\"greedy\"}", greedy).await;
        gauge_becomes(
            &fixture,
            "ringback_app_unfinished{app_id=\"greedy\"}",
            greedy,
        )
        .await;
        gauge_becomes(&fixture, "ringback_app_waiting{app_id=\"other\"}", 1).await;
        gauge_becomes(&fixture, "ringback_delayed_messages", ids.len()).await;

        // Many apps together: the bound closes the intake for all.
        let full = eventually("a full broker", SOON, async || {
            let app = format!("app-{}", ids.len() % 8);
            let answered = fixture.gateway.post(&in_a_week(&fixture, &app)).await;
            match answered.status {
                200 => {
                    ids.push(answered.accepted());
                    Err(format!("{} accepted", ids.len()))
                }
                503 => Ok(answered),
                other => panic!("{other}: {answered:?}"),
            }
        })
        .await;
        assert_eq!((&*full.code(), full.request_id()), ("500", None));
        let at_most = MAX_WAITING + 8;
        assert!(ids.len() <= at_most, "{} accepted", ids.len());

        for id in &ids {
            let answered = fixture.gateway.cancel(id).await;
            assert_eq!(answered.status, 200, "{}", answered.json());
        }
        let again = eventually("an open intake", SOON, async || {
            let answered = fixture.gateway.post(&in_a_week(&fixture, "greedy")).await;
            match answered.status {
                200 => Ok(answered.accepted()),
                other => Err(other.to_string()),
            }
        })
        .await;
        gauge_becomes(&fixture, "ringback_app_waiting{app_id=\"greedy\"}", 1).await;
        fixture.gateway.cancel(&again).await;
    });
}

#[test]
fn a_dead_target_with_inflow_does_not_close_the_intake_of_others() {
    on_shared_runtime(async {
        let fixture = gateway().await;
        let mut to_nobody = of_app(&fixture, "greedy", "/ok");
        to_nobody["callback_url"] = json!(format!("http://127.0.0.1:{}/", free_port()));
        // A callback waits once its attempt has failed. More at once could be over the bound of all
        // before that is seen.
        for _ in 0..=MAX_WAITING / 2 {
            fixture.send(&to_nobody).await;
        }
        eventually("more than half waits", SOON, async || {
            match gauge(&fixture, "ringback_app_waiting{app_id=\"greedy\"}").await {
                Some(waiting) if waiting > MAX_WAITING / 2 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let (_, refused) = fill(&fixture, &to_nobody).await;
        check_app_refusal(&refused);
        for app_id in ["one", "two", "three"] {
            check_open_for(&fixture, app_id).await;
        }
        // It stays so, with what it sends meanwhile.
        eventually("all that fail wait", SOON, async || {
            fixture.gateway.post(&to_nobody).await;
            let waiting = gauge(&fixture, "ringback_app_waiting{app_id=\"greedy\"}").await;
            let unfinished = gauge(&fixture, "ringback_app_unfinished{app_id=\"greedy\"}").await;
            match waiting == unfinished && waiting > Some(MAX_WAITING / 2) {
                true => Ok(()),
                false => Err(format!("{waiting:?} of {unfinished:?}")),
            }
        })
        .await;
        check_app_refusal(&fixture.gateway.post(&to_nobody).await);
        check_open_for(&fixture, "four").await;
    });
}
