//! Tests that a caller that waits gets the outcome of the first attempt.

use super::*;
use futures_util::future::join_all;

#[actix_web::test]
async fn the_answer_is_the_outcome_of_the_first_attempt() {
    let ingress = TestIngress::start().await;
    let mut first = ingress.first();
    for (code, status, expected) in [
        (ReplyCode::Delivered, 200, "000"),
        (ReplyCode::Retrying, 202, "202"),
        (ReplyCode::Failed, 200, "500500"),
    ] {
        let body = callback("{}");
        let attempt = async {
            let message = ingress.take(&mut first).await;
            ingress.reply(&message, code);
            message.request_id
        };
        let (response, id) = tokio::join!(ingress.post("prefer: wait=9\r\n", &body), attempt);
        assert_eq!(response.summary(), (status, expected));
        assert_eq!(response.id(), id);
        assert_eq!(response.header("preference-applied"), Some("wait=9"));
    }
    assert_eq!(ingress.state.enqueuer.waiting_callers(), 0);
}

#[actix_web::test]
async fn a_wait_that_ends_before_the_attempt_is_a_202() {
    let ingress = TestIngress::start().await;
    for options in ["{}", r#"{"delay_seconds":60}"#] {
        let response = ingress.post("prefer: wait=1\r\n", &callback(options)).await;
        assert_eq!(response.summary(), (202, "202"));
        assert_eq!(response.header("preference-applied"), Some("wait=1"));
        response.id();
    }
    assert_eq!(ingress.state.enqueuer.waiting_callers(), 0);
}

#[actix_web::test]
async fn a_default_wait_applies_to_all_and_a_caller_can_decline() {
    let ingress =
        TestIngress::with(|config, _| config.default_wait = Duration::from_millis(300)).await;
    let waited = ingress.post("", &callback("{}")).await;
    assert_eq!(waited.summary(), (202, "202"));
    assert_eq!(waited.header("preference-applied"), None);
    let declined = ingress.post("prefer: wait=0\r\n", &callback("{}")).await;
    assert_eq!(declined.summary(), (200, "000"));
    assert_eq!(declined.header("preference-applied"), Some("wait=0"));
}

#[actix_web::test]
async fn a_caller_that_does_not_wait_requests_no_reply() {
    let ingress = TestIngress::start().await;
    let mut first = ingress.first();
    let plain = ingress.post("", &callback("{}")).await;
    assert_eq!(plain.summary(), (200, "000"));
    assert_eq!(plain.header("preference-applied"), None);
    assert_eq!(ingress.take(&mut first).await.reply_to, None);
}

#[actix_web::test]
async fn a_caller_that_disconnects_stops_waiting() {
    let ingress = TestIngress::start().await;
    let mut connections = Vec::new();
    for _ in 0..20 {
        let headers = "prefer: wait=30\r\n";
        let body = callback("{}");
        connections.push(
            ingress
                .connect("POST", "/api/callback", headers, &body)
                .await,
        );
    }
    let count = async |expected: usize| match ingress.state.enqueuer.waiting_callers() {
        count if count == expected => Ok(()),
        count => Err(format!("{count} wait")),
    };
    eventually(async || count(20).await).await;
    drop(connections);
    eventually(async || count(0).await).await;
}

#[actix_web::test]
async fn hundreds_wait_at_once_and_each_gets_its_own_outcome() {
    let ingress = TestIngress::start().await;
    let mut first = ingress.first();
    let body = callback("{}");
    let asking = join_all((0..300).map(|_| ingress.post("prefer: wait=30\r\n", &body)));
    let attempts = async {
        let mut delivered = Vec::new();
        for number in 0..300 {
            let message = ingress.take(&mut first).await;
            if number % 2 == 0 {
                ingress.reply(&message, ReplyCode::Delivered);
                delivered.push(message.request_id);
            } else {
                ingress.reply(&message, ReplyCode::Failed);
            }
        }
        delivered
    };
    let (answers, delivered) = tokio::join!(asking, attempts);
    for response in answers {
        let expected = if delivered.contains(&response.id()) {
            "000"
        } else {
            "500500"
        };
        assert_eq!(response.summary(), (200, expected));
    }
}

#[actix_web::test]
async fn a_stop_ends_all_waits() {
    let ingress = TestIngress::start().await;
    let body = callback("{}");
    let stopping = async {
        eventually(async || match ingress.state.enqueuer.waiting_callers() {
            1 => Ok(()),
            count => Err(format!("{count} wait")),
        })
        .await;
        ingress.stop.cancel();
    };
    let (response, ()) = tokio::join!(ingress.post("prefer: wait=30\r\n", &body), stopping);
    assert_eq!(response.summary(), (202, "202"));
}
