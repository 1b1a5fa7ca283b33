//! Does the query tell the truth, and never deny what was accepted?

use super::*;
use journal::{Record, State};

/// An id drawn so long ago.
fn drawn(ago: Duration) -> Uuid {
    let at = crate::moment::unix_ms(std::time::SystemTime::now() - ago);
    uuid::Builder::from_unix_timestamp_millis(at, &[7; 10]).into_uuid()
}

async fn known(world: &World, id: Uuid) -> Answered {
    eventually(async || {
        let answered = world.get(id).await;
        match answered.status {
            200 => Ok(answered),
            _ => Err(format!("{answered:?}")),
        }
    })
    .await
}

#[actix_web::test]
async fn an_accepted_callback_is_known_at_once_and_tells_who_asked() {
    let world = World::start().await;
    let id = world.post("", &callback("{}")).await.id();
    let answered = known(&world, id).await;
    assert_eq!(answered.summary(), (200, "202"));
    assert_eq!(answered.id(), id);
    assert_eq!(answered.text("app_id"), "a");
    assert_eq!(answered.text("callback_url"), "https://x.cn/a?***");
    let status = answered.text("status");
    assert!(["queued", "delivering"].contains(&status), "{status}");
    let json = "application/json; charset=utf-8";
    assert_eq!(answered.header("content-type"), Some(json));
}

#[actix_web::test]
async fn an_unknown_id_is_a_404_unless_it_may_be_on_its_way() {
    let world = World::start().await;
    // As soon as the queues have been looked at.
    eventually(async || {
        let answered = world.get(drawn(Duration::from_secs(3_600))).await;
        match answered.status {
            404 => Ok(()),
            _ => Err(format!("{answered:?}")),
        }
    })
    .await;
    for never in ["7", "not-an-id", "00000000-0000-0000-0000-000000000007"] {
        let (get, delete) = (world.get(never).await, world.delete(never).await);
        assert_eq!(get.summary(), (404, "404"), "{get:?}");
        assert_eq!(delete.summary(), (404, "404"), "{delete:?}");
        assert_eq!(get.text("request_id"), "");
    }
    let young = drawn(Duration::ZERO);
    for answered in [world.get(young).await, world.delete(young).await] {
        assert_eq!(answered.summary(), (503, "500"));
        assert_eq!(answered.id(), young);
        assert!(answered.header("retry-after").is_some());
    }
}

#[actix_web::test]
async fn other_methods_are_a_405_that_names_the_allowed_ones() {
    let world = World::start().await;
    let path = format!("/api/callback/{}", Uuid::now_v7());
    let answered = world.ask("PUT", &path, "", "").await;
    assert_eq!(answered.summary(), (405, "405"));
    assert_eq!(answered.header("allow"), Some("GET, DELETE"));
    let answered = world.ask("GET", "/api/callback", "", "").await;
    assert_eq!(answered.header("allow"), Some("POST"));
}

#[actix_web::test]
async fn a_delayed_callback_can_be_withdrawn_as_soon_as_it_is_accepted() {
    let world = World::start().await;
    let id = world
        .post("", &callback(r#"{"delay_seconds":60}"#))
        .await
        .id();
    for answered in [
        world.delete(id).await,
        world.delete(id).await,
        world.get(id).await,
    ] {
        assert_eq!(answered.summary(), (200, "500500"));
        assert_eq!(answered.text("status"), "cancelled");
    }
}

#[actix_web::test]
async fn a_callback_that_is_due_may_be_too_late_to_withdraw() {
    let world = World::start().await;
    let id = world.post("", &callback("{}")).await.id();
    known(&world, id).await;
    let answered = world.delete(id).await;
    assert_eq!(answered.summary(), (202, "202"));
    assert_eq!(answered.id(), id);
}

#[actix_web::test]
async fn a_query_waits_for_the_end() {
    let world = World::start().await;
    let id = world
        .post("", &callback(r#"{"delay_seconds":60}"#))
        .await
        .id();
    let path = format!("/api/callback/{id}");
    let asking = world.ask("GET", &path, "prefer: wait=9\r\n", "");
    let ending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.delete(id).await
    };
    let (answered, _) = tokio::join!(asking, ending);
    assert_eq!(answered.text("status"), "cancelled");
    assert_eq!(answered.header("preference-applied"), Some("wait=9"));

    let other = world
        .post("", &callback(r#"{"delay_seconds":60}"#))
        .await
        .id();
    let path = format!("/api/callback/{other}");
    let answered = world.ask("GET", &path, "prefer: wait=1\r\n", "").await;
    assert_eq!(answered.summary(), (200, "202"));
    assert_eq!(answered.text("status"), "queued");
}

#[actix_web::test]
async fn a_query_that_waits_hears_of_a_record_that_is_still_on_its_way() {
    let world = World::start().await;
    let id = Uuid::now_v7();
    let path = format!("/api/callback/{id}");
    let asking = world.ask("GET", &path, "prefer: wait=9\r\n", "");
    let arriving = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let other = world.post("", &callback("{}")).await.id();
        let mut origin = known_origin(&world, other).await;
        origin.request_id = id;
        let at = origin.accepted_at;
        let record = Record {
            origin,
            generation: 0,
            attempt: 1,
            at,
            state: State::Delivered,
            attempted: None,
            dead_letter: None,
        };
        world.journal.record(&[record]).await.unwrap();
    };
    let (answered, ()) = tokio::join!(asking, arriving);
    assert_eq!(answered.summary(), (200, "000"));
    assert_eq!(answered.text("status"), "delivered");
}

async fn known_origin(world: &World, id: Uuid) -> journal::Origin {
    known(world, id).await;
    world.journal.find(id).await.unwrap().unwrap().origin
}

#[actix_web::test]
async fn without_a_journal_nobody_is_told_that_there_is_no_such_callback() {
    let world = World::with(|_, tools| {
        tools.journal = None;
        tools.recorder = None;
    })
    .await;
    let id = world.post("", &callback("{}")).await.id();
    for answered in [
        world.get(id).await,
        world.get("7").await,
        world.delete(id).await,
        world.post("idempotency-key: k\r\n", &callback("{}")).await,
    ] {
        assert_eq!(answered.summary(), (501, "501"));
        assert_eq!(answered.text("request_id"), "");
    }
    // A delay needs no journal.
    let delayed = world.post("", &callback(r#"{"delay_seconds":60}"#)).await;
    assert_eq!(delayed.summary(), (200, "000"));
}

#[actix_web::test]
async fn a_journal_out_of_reach_is_a_503_and_never_a_404() {
    let world = World::start().await;
    let id = world.post("", &callback("{}")).await.id();
    world.journal.close().await;
    for answered in [world.get(id).await, world.delete(id).await] {
        assert_eq!(answered.summary(), (503, "500"));
        assert_eq!(answered.id(), id);
        assert!(answered.header("retry-after").is_some());
    }
    let keyed = world.post("idempotency-key: k\r\n", &callback("{}")).await;
    assert_eq!(
        (keyed.summary(), keyed.text("request_id")),
        ((503, "500"), "")
    );
    // It would be lost to whoever withdraws it, and is queued all the same.
    let delayed = world.post("", &callback(r#"{"delay_seconds":60}"#)).await;
    assert_eq!(delayed.summary(), (503, "500"));
    delayed.id();
    // Who asks for nothing of the journal does not notice.
    let plain = world.post("", &callback("{}")).await;
    assert_eq!(plain.summary(), (200, "000"));
}
