//! An app at its limits does not affect other apps.

use serde_json::json;

use super::*;
use tests::{ScriptedReply, TestTarget};

const SOON: Duration = Duration::from_secs(30);

async fn post(fixture: &SharedGateway, app: &str, path: &str, headers: &[(String, String)]) -> u16 {
    let mut callback = fixture.callback(path);
    callback["app_id"] = Value::from(app);
    let answer = ask(fixture, "POST", PATH, &callback.to_string(), headers).await;
    answer.status
}

/// Holds the app's only permit during `meanwhile`.
async fn while_held(
    fixture: &SharedGateway,
    app: &str,
    headers: &[(String, String)],
    meanwhile: impl Future<Output = ()>,
) {
    let mut waits = headers.to_vec();
    // Shorter than the timeout of the test's own client, 30 s.
    waits.push(("prefer".to_owned(), "wait=25".to_owned()));
    let target = TestTarget::http(ScriptedReply::hang());
    let mut callback = tests::callback(&target.url());
    callback["app_id"] = Value::from(app);
    callback["options"] = json!({"timeout_seconds": 60});
    let callback = callback.to_string();
    let held = async {
        // Another request may hold the permit at first.
        loop {
            let status = ask(fixture, "POST", PATH, &callback, &waits).await.status;
            if status != 429 {
                assert_eq!(status, 202, "its attempt was cut off");
                return;
            }
        }
    };
    futures_util::join!(held, async {
        eventually("a full quota", SOON, async || {
            (post(fixture, app, "/ok", headers).await == 429).then_some(())
        })
        .await;
        meanwhile.await;
        let status = post(fixture, app, "/ok", headers).await;
        assert_eq!(status, 429, "{app} was held back all the while");
        // That ends the attempt, and with it the wait.
        drop(target);
    });
}

/// `Rated` has a very low rate, `Held` one request at a time. `Free` has the same kinds of limits
/// and stays far below them.
const LIMITS: [(&str, &str); 6] = [
    ("RINGBACK__APPS__Rated__RATE", "1"),
    ("RINGBACK__APPS__Rated__BURST", "1"),
    ("RINGBACK__APPS__Held__MAX_IN_FLIGHT", "1"),
    ("RINGBACK__APPS__Free__RATE", "1000"),
    ("RINGBACK__APPS__Free__BURST", "1000"),
    ("RINGBACK__APPS__Free__MAX_IN_FLIGHT", "1000"),
];

/// One round in which `Rated` is over its rate, and none of the others is.
async fn over_its_rate(fixture: &SharedGateway, keys: [&[(String, String)]; 2], others: &[&str]) {
    let [rated, other] = keys;
    let many = join_all((0..8).map(|_| post(fixture, "Rated", "/ok", rated)));
    let beside = join_all(others.iter().map(|app| post(fixture, app, "/ok", other)));
    let (many, beside) = futures_util::join!(many, beside);
    assert!(many.contains(&429), "{many:?}");
    assert_eq!(beside, vec![200; others.len()], "{others:?}");
}

#[test]
fn an_app_limited_by_its_name_limits_nobody_else() {
    on_shared_runtime(async {
        let fixture = fixture("open", &LIMITS).await;
        for _ in 0..5 {
            over_its_rate(&fixture, [&[], &[]], &["Held"]).await;
            over_its_rate(&fixture, [&[], &[]], &["Free", "nobody", "B"]).await;
        }
        while_held(&fixture, "Held", &[], async {
            for _ in 0..5 {
                let others = ["Free", "nobody", "B"].map(|app| post(&fixture, app, "/ok", &[]));
                assert_eq!(join_all(others).await, [200; 3]);
            }
            eventually("its rate", SOON, async || {
                (post(&fixture, "Rated", "/ok", &[]).await == 200).then_some(())
            })
            .await;
        })
        .await;
    });
}

#[test]
fn an_app_limited_by_its_key_limits_nobody_else() {
    on_shared_runtime(async {
        let (rated, held, free) = ("rbk_rated", "rbk_held", "rbk_free");
        let hashes = [rated, held, free].map(hash);
        let mut settings = LIMITS.to_vec();
        settings.extend([
            ("RINGBACK__APPS__Rated__KEYS", &*hashes[0]),
            ("RINGBACK__APPS__Held__KEYS", &*hashes[1]),
            ("RINGBACK__APPS__Free__KEYS", &*hashes[2]),
        ]);
        let fixture = fixture("bearer", &settings).await;
        let [rated, held, free] = [rated, held, free].map(bearer);
        for _ in 0..5 {
            over_its_rate(&fixture, [&rated, &held], &["Held"]).await;
            over_its_rate(&fixture, [&rated, &free], &["Free", "Free"]).await;
        }
        while_held(&fixture, "Held", &held, async {
            for _ in 0..5 {
                assert_eq!(post(&fixture, "Free", "/ok", &free).await, 200);
                // Registered, without limits of its own.
                assert_eq!(post(&fixture, "B", "/ok", &bearer(KEY_B)).await, 200);
            }
            eventually("its rate", SOON, async || {
                (post(&fixture, "Rated", "/ok", &rated).await == 200).then_some(())
            })
            .await;
        })
        .await;
    });
}
