//! Does a caller who waits hear how the first attempt ended?

use super::*;
use futures_util::future::join_all;

#[actix_web::test]
async fn the_answer_tells_how_the_first_attempt_ended() {
    let world = World::start().await;
    let mut first = world.first();
    for (code, status, told) in [
        (ReplyCode::Delivered, 200, "000"),
        (ReplyCode::Retrying, 202, "202"),
        (ReplyCode::GivenUp, 200, "500500"),
    ] {
        let body = callback("{}");
        let attempt = async {
            let message = world.take(&mut first).await;
            world.reply(&message, code);
            message.request_id
        };
        let (answered, id) = tokio::join!(world.post("prefer: wait=9\r\n", &body), attempt);
        assert_eq!(answered.summary(), (status, told));
        assert_eq!(answered.id(), id);
        assert_eq!(answered.header("preference-applied"), Some("wait=9"));
    }
    assert_eq!(world.door.listening.count(), 0);
}

#[actix_web::test]
async fn a_wait_that_ends_before_the_attempt_is_a_202() {
    let world = World::start().await;
    for options in ["{}", r#"{"delay_seconds":60}"#] {
        let answered = world.post("prefer: wait=1\r\n", &callback(options)).await;
        assert_eq!(answered.summary(), (202, "202"));
        assert_eq!(answered.header("preference-applied"), Some("wait=1"));
        answered.id();
    }
    assert_eq!(world.door.listening.count(), 0);
}

#[actix_web::test]
async fn the_operator_can_make_all_wait_and_a_caller_can_decline() {
    let world = World::with(|settings, _| settings.default_wait = Duration::from_millis(300)).await;
    let waited = world.post("", &callback("{}")).await;
    assert_eq!(waited.summary(), (202, "202"));
    assert_eq!(waited.header("preference-applied"), None);
    let declined = world.post("prefer: wait=0\r\n", &callback("{}")).await;
    assert_eq!(declined.summary(), (200, "000"));
    assert_eq!(declined.header("preference-applied"), Some("wait=0"));
}

#[actix_web::test]
async fn who_does_not_wait_asks_for_no_reply() {
    let world = World::start().await;
    let mut first = world.first();
    let plain = world.post("", &callback("{}")).await;
    assert_eq!(plain.summary(), (200, "000"));
    assert_eq!(plain.header("preference-applied"), None);
    assert_eq!(world.take(&mut first).await.reply_to, None);
}

#[actix_web::test]
async fn a_caller_that_hangs_up_is_not_waited_for() {
    let world = World::start().await;
    let mut gone = Vec::new();
    for _ in 0..20 {
        let headers = "prefer: wait=30\r\n";
        let body = callback("{}");
        gone.push(world.connect("POST", "/api/callback", headers, &body).await);
    }
    let count = async |expected: usize| match world.door.listening.count() {
        count if count == expected => Ok(()),
        count => Err(format!("{count} wait")),
    };
    eventually(async || count(20).await).await;
    drop(gone);
    eventually(async || count(0).await).await;
}

#[actix_web::test]
async fn hundreds_wait_at_once_and_each_hears_its_own() {
    let world = World::start().await;
    let mut first = world.first();
    let body = callback("{}");
    let asking = join_all((0..300).map(|_| world.post("prefer: wait=30\r\n", &body)));
    let attempts = async {
        let mut delivered = Vec::new();
        for number in 0..300 {
            let message = world.take(&mut first).await;
            if number % 2 == 0 {
                world.reply(&message, ReplyCode::Delivered);
                delivered.push(message.request_id);
            } else {
                world.reply(&message, ReplyCode::GivenUp);
            }
        }
        delivered
    };
    let (answers, delivered) = tokio::join!(asking, attempts);
    for answered in answers {
        let expected = if delivered.contains(&answered.id()) {
            "000"
        } else {
            "500500"
        };
        assert_eq!(answered.summary(), (200, expected));
    }
}

#[actix_web::test]
async fn a_stop_lets_all_who_wait_go() {
    let world = World::start().await;
    let body = callback("{}");
    let stopping = async {
        eventually(async || match world.door.listening.count() {
            1 => Ok(()),
            count => Err(format!("{count} wait")),
        })
        .await;
        world.stop.cancel();
    };
    let (answered, ()) = tokio::join!(world.post("prefer: wait=30\r\n", &body), stopping);
    assert_eq!(answered.summary(), (202, "202"));
}
