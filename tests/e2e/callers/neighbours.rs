//! Does an app that is held back hold back another?

use serde_json::json;

use super::*;
use crate::isolation::moody::{Mood, Moody};

const SOON: Duration = Duration::from_secs(30);

async fn post(world: &World, app: &str, path: &str, headers: &[(String, String)]) -> u16 {
    let mut callback = world.callback(path);
    callback["app_id"] = Value::from(app);
    let answer = ask(world, "POST", PATH, &callback.to_string(), headers).await;
    answer.status
}

/// Holds the one place of the app's while it does this.
async fn while_held(
    world: &World,
    app: &str,
    headers: &[(String, String)],
    meanwhile: impl Future<Output = ()>,
) {
    let mut waits = headers.to_vec();
    // Not as long as the patience of the test's own client, 30 s.
    waits.push(("prefer".to_owned(), "wait=25".to_owned()));
    let target = Moody::start(Mood::Hang).await;
    let mut callback = tests::callback(&target.url());
    callback["app_id"] = Value::from(app);
    callback["options"] = json!({"timeout_seconds": 60});
    let callback = callback.to_string();
    let held = async {
        // Another one may have the place at first.
        loop {
            let status = ask(world, "POST", PATH, &callback, &waits).await.status;
            if status != 429 {
                assert_eq!(status, 202, "its attempt was cut off");
                return;
            }
        }
    };
    futures_util::join!(held, async {
        eventually("a full quota", SOON, async || {
            (post(world, app, "/ok", headers).await == 429).then_some(())
        })
        .await;
        meanwhile.await;
        let status = post(world, app, "/ok", headers).await;
        assert_eq!(status, 429, "{app} was held back all the while");
        // That ends the attempt, and with it the wait.
        drop(target);
    });
}

/// `Rated` may send next to nothing, `Held` one at a time; `Free` is under the same limits, and far
/// below them.
const LIMITS: [(&str, &str); 6] = [
    ("RINGBACK__APPS__Rated__RATE", "1"),
    ("RINGBACK__APPS__Rated__BURST", "1"),
    ("RINGBACK__APPS__Held__QUOTA", "1"),
    ("RINGBACK__APPS__Free__RATE", "1000"),
    ("RINGBACK__APPS__Free__BURST", "1000"),
    ("RINGBACK__APPS__Free__QUOTA", "1000"),
];

/// A round in which `Rated` is over its rate, and each of these is not.
async fn over_its_rate(world: &World, keys: [&[(String, String)]; 2], others: &[&str]) {
    let [rated, other] = keys;
    let many = join_all((0..8).map(|_| post(world, "Rated", "/ok", rated)));
    let beside = join_all(others.iter().map(|app| post(world, app, "/ok", other)));
    let (many, beside) = futures_util::join!(many, beside);
    assert!(many.contains(&429), "{many:?}");
    assert_eq!(beside, vec![200; others.len()], "{others:?}");
}

#[test]
fn who_is_held_back_by_name_holds_back_nobody_else() {
    together(async {
        let world = world("open", &LIMITS).await;
        for _ in 0..5 {
            over_its_rate(&world, [&[], &[]], &["Held"]).await;
            over_its_rate(&world, [&[], &[]], &["Free", "nobody", "B"]).await;
        }
        while_held(&world, "Held", &[], async {
            for _ in 0..5 {
                let others = ["Free", "nobody", "B"].map(|app| post(&world, app, "/ok", &[]));
                assert_eq!(join_all(others).await, [200; 3]);
            }
            eventually("its rate", SOON, async || {
                (post(&world, "Rated", "/ok", &[]).await == 200).then_some(())
            })
            .await;
        })
        .await;
    });
}

#[test]
fn who_is_held_back_by_key_holds_back_nobody_else() {
    together(async {
        let (rated, held, free) = ("rbk_rated", "rbk_held", "rbk_free");
        let hashes = [rated, held, free].map(hash);
        let mut settings = LIMITS.to_vec();
        settings.extend([
            ("RINGBACK__APPS__Rated__KEYS", &*hashes[0]),
            ("RINGBACK__APPS__Held__KEYS", &*hashes[1]),
            ("RINGBACK__APPS__Free__KEYS", &*hashes[2]),
        ]);
        let world = world("bearer", &settings).await;
        let [rated, held, free] = [rated, held, free].map(bearer);
        for _ in 0..5 {
            over_its_rate(&world, [&rated, &held], &["Held"]).await;
            over_its_rate(&world, [&rated, &free], &["Free", "Free"]).await;
        }
        while_held(&world, "Held", &held, async {
            for _ in 0..5 {
                assert_eq!(post(&world, "Free", "/ok", &free).await, 200);
                // Registered, and with no limits of its own.
                assert_eq!(post(&world, "B", "/ok", &bearer(KEY_B)).await, 200);
            }
            eventually("its rate", SOON, async || {
                (post(&world, "Rated", "/ok", &rated).await == 200).then_some(())
            })
            .await;
        })
        .await;
    });
}
