//! Is a callback that was withdrawn never delivered, and is nobody told so who was too late?

use std::time::Duration;

use serde_json::json;
use tests::together;

use crate::query::{attempts, status};
use crate::shared::journaled;

#[test]
fn a_delayed_callback_that_was_withdrawn_is_never_delivered() {
    together(async {
        let world = journaled().await;
        let mut callback = world.callback("/ok/withdrawn");
        // What is due within 2 s may be on its way and is not withdrawn for certain.
        callback["options"] = json!({"delay_seconds": 15});
        let withdrawn = world.send(&callback).await;
        let later = world.send(&callback).await;
        for time in ["first", "second"] {
            let answered = world.gateway.withdraw(&withdrawn).await;
            let body = answered.json();
            assert_eq!(answered.status, 200, "{time}: {body}");
            assert_eq!(body["status"], "cancelled", "{time}: {body}");
            assert_eq!(body["code"], "500500", "{time}: {body}");
            assert!(body.get("next_attempt_at").is_none(), "{body}");
        }
        // Absence is shown by the one that was due after it.
        world.received(&later, 1).await;
        let past = world.send(&world.callback("/slow/1000")).await;
        world.received(&past, 1).await;
        status(&world, &past, "delivered").await;
        assert_eq!(world.callee.book.for_id(&withdrawn).len(), 0);
        let body = status(&world, &withdrawn, "cancelled").await;
        assert_eq!(attempts(&body), []);
    });
}

#[test]
fn a_callback_between_two_attempts_can_be_withdrawn() {
    together(async {
        let world = journaled().await;
        let id = world.send(&world.callback("/status/503")).await;
        world.received(&id, 2).await;
        tests::eventually("a certain end", Duration::from_secs(30), async || {
            let answered = world.gateway.withdraw(&id).await;
            let body = answered.json();
            // Until the second attempt is written down, it may be on its way.
            match answered.status {
                200 if body["status"] == "cancelled" => Ok(()),
                202 | 503 => Err(body.to_string()),
                other => panic!("{other}: {body}"),
            }
        })
        .await;
        let body = status(&world, &id, "cancelled").await;
        let failed = |number| (number, "answered_5xx", Some(503));
        assert_eq!(attempts(&body), [failed(1), failed(2)]);
    });
}

#[test]
fn whoever_withdraws_too_late_is_told_how_it_ended() {
    together(async {
        let world = journaled().await;
        for (path, ended, code) in [
            ("/ok", "delivered", "000"),
            ("/status/400", "dead", "500500"),
        ] {
            let id = world.send(&world.callback(path)).await;
            status(&world, &id, ended).await;
            let answered = world.gateway.withdraw(&id).await;
            let body = answered.json();
            assert_eq!(answered.status, 200, "{body}");
            assert_eq!(
                (&body["status"], &body["code"]),
                (&ended.into(), &code.into())
            );
            status(&world, &id, ended).await;
        }
    });
}

#[test]
fn a_wish_to_withdraw_what_is_being_attempted_is_noted_and_the_target_wins() {
    together(async {
        let world = journaled().await;
        let mut callback = world.callback("/slow/14000");
        callback["options"] = json!({"timeout_seconds": 60});
        let id = world.send(&callback).await;
        world.received(&id, 1).await;
        tests::eventually("a noted wish", Duration::from_secs(12), async || {
            let answered = world.gateway.withdraw(&id).await;
            // A 503 says that it is not written down yet.
            match answered.status {
                202 => Ok(()),
                503 => Err("503".to_owned()),
                other => panic!("{other}: {}", answered.json()),
            }
        })
        .await;
        let body = status(&world, &id, "delivered").await;
        assert_eq!(attempts(&body).len(), 1);
    });
}
