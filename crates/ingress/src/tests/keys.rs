//! Does an idempotency key make one callback of any number of requests?

use super::*;
use futures_util::future::join_all;
use journal::{Claim, Claimed};

const KEY: &str = "idempotency-key: k1\r\n";

/// A claim that another request holds.
async fn held_by_another(world: &World, body: &str, lease: Duration) -> Uuid {
    let now = crate::moment::unix_ms(std::time::SystemTime::now());
    let request_id = Uuid::now_v7();
    let claim = Claim {
        app_id: "a".to_owned(),
        key: "k1".to_owned(),
        request_id,
        body_hash: sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            body,
        ))
        .into(),
        now,
        lease_until: now + crate::moment::millis(lease),
    };
    let claimed = world.journal.claim(&claim).await.unwrap();
    assert_eq!(claimed, Claimed::Yours(request_id));
    request_id
}

/// How many messages wait for their first attempt, counted until no more comes.
async fn queued(world: &World) -> Vec<Uuid> {
    let mut first = world.first();
    let last = world.post("", &callback("{}")).await.id();
    let mut found = Vec::new();
    loop {
        let id = world.take(&mut first).await.request_id;
        if id == last {
            return found;
        }
        found.push(id);
    }
}

#[actix_web::test]
async fn a_hundred_repeats_at_once_are_one_callback() {
    let world = World::start().await;
    let body = callback("{}");
    let answers = join_all((0..100).map(|_| world.post(KEY, &body))).await;
    let id = answers[0].id();
    for answered in &answers {
        assert_eq!((answered.summary(), answered.id()), ((200, "000"), id));
    }
    assert_eq!(queued(&world).await, [id]);
}

#[actix_web::test]
async fn a_key_belongs_to_its_body_and_its_app() {
    let world = World::start().await;
    let body = callback("{}");
    let id = world.post(KEY, &body).await.id();
    let conflict = world.post(KEY, &format!("{body} ")).await;
    assert_eq!(conflict.summary(), (409, "409"));
    assert_eq!(conflict.text("request_id"), "");
    let other = body.replace(r#""app_id":"a""#, r#""app_id":"b""#);
    assert_ne!(world.post(KEY, &other).await.id(), id);
    let other = world.post("idempotency-key: k2\r\n", &body).await;
    assert_ne!(other.id(), id);
    assert_eq!(queued(&world).await.len(), 3);
}

#[actix_web::test]
async fn a_key_that_cannot_be_kept_is_a_400_that_names_it() {
    let world = World::start().await;
    let long = "k".repeat(256);
    for (key, sentence) in [
        ("", "参数Idempotency-Key不能为空"),
        (
            "a b",
            "参数Idempotency-Key格式错误: 只能包含可见的ASCII字符",
        ),
        (&long, "参数Idempotency-Key格式错误: 长度不能超过255字节"),
    ] {
        let header = format!("idempotency-key: {key}\r\n");
        let answered = world.post(&header, &callback("{}")).await;
        assert_eq!(answered.summary(), (400, "400"));
        assert_eq!(answered.text("msg"), sentence);
    }
}

#[actix_web::test]
async fn a_claim_whose_publish_died_is_taken_up_under_its_id() {
    let world = World::start().await;
    let body = callback("{}");
    let id = held_by_another(&world, &body, Duration::from_millis(500)).await;
    let answered = world.post(KEY, &body).await;
    assert_eq!((answered.summary(), answered.id()), ((200, "000"), id));
    assert_eq!(queued(&world).await, [id]);
}

#[actix_web::test]
async fn a_claim_that_is_not_settled_in_time_is_a_503_with_its_id() {
    let world = World::start().await;
    let body = callback("{}");
    let id = held_by_another(&world, &body, SOON * 2).await;
    let answered = world.post(KEY, &body).await;
    assert_eq!((answered.summary(), answered.id()), ((503, "500"), id));
    assert!(queued(&world).await.is_empty());
}

#[actix_web::test]
async fn a_repeat_that_met_the_first_one_in_the_middle_hears_that_it_was_confirmed() {
    let world = World::start().await;
    let body = callback("{}");
    let id = held_by_another(&world, &body, SOON * 2).await;
    let confirming = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.journal.confirm_claim("a", "k1").await.unwrap();
    };
    let (answered, ()) = tokio::join!(world.post(KEY, &body), confirming);
    assert_eq!((answered.summary(), answered.id()), ((200, "000"), id));
    assert!(queued(&world).await.is_empty());
}

#[actix_web::test]
async fn a_refused_callback_leaves_its_key_to_the_next_request() {
    let world = World::with(|settings, _| settings.max_backlog = 1).await;
    world.post("", &callback("{}")).await.id();
    // The backlog is looked at once a second.
    let body = callback("{}");
    let full = eventually(async || {
        let answered = world.post("", &body).await;
        match answered.status {
            503 => Ok(()),
            _ => Err(format!("{answered:?}")),
        }
    });
    full.await;
    // Fresh: certain. Taken up: an earlier request may have published under the id.
    let first = world.post(KEY, &body).await;
    assert_eq!(
        (first.summary(), first.text("request_id")),
        ((503, "500"), "")
    );
    let second = world.post(KEY, &body).await;
    assert_eq!(second.summary(), (503, "500"));
    let id = second.id();
    let mut lane = world.first();
    let third = eventually(async || {
        while let Ok(received) = tokio::time::timeout(Duration::from_millis(200), lane.next()).await
        {
            received.settle(Settlement::Done).await.unwrap();
        }
        let answered = world.post(KEY, &body).await;
        match answered.status {
            200 => Ok(answered),
            _ => Err(format!("{answered:?}")),
        }
    });
    assert_eq!(third.await.id(), id);
}

#[actix_web::test]
async fn a_repeat_that_waits_hears_how_the_first_attempt_ended() {
    let world = World::start().await;
    let body = callback(r#"{"delay_seconds":60}"#);
    let id = world.post(KEY, &body).await.id();
    let headers = format!("{KEY}prefer: wait=1\r\n");
    let answered = world.post(&headers, &body).await;
    assert_eq!((answered.summary(), answered.id()), ((202, "202"), id));
    world.delete(id).await;
    let answered = world.post(&headers, &body).await;
    assert_eq!((answered.summary(), answered.id()), ((200, "500500"), id));
}
