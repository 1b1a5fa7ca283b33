//! Tests that all requests with the same idempotency key result in one callback.

use super::*;
use futures_util::future::join_all;
use journal::{Claim, Claimed};
use sha2::{Digest as _, Sha256};

const KEY: &str = "idempotency-key: k1\r\n";

/// Claims the key for another request.
async fn claim_elsewhere(ingress: &TestIngress, body: &str, lease: Duration) -> Uuid {
    let now = contract::unix_ms(std::time::SystemTime::now());
    let request_id = Uuid::now_v7();
    let claim = Claim {
        app_id: "a".to_owned(),
        key: "k1".to_owned(),
        request_id,
        body_hash: Sha256::digest(body).into(),
        now,
        lease,
    };
    let claimed = ingress.journal.claim(&claim).await.unwrap();
    assert_eq!(claimed, Claimed::Acquired(request_id));
    request_id
}

/// The messages in the queue `first`, up to one that is added now.
async fn queued(ingress: &TestIngress) -> Vec<Uuid> {
    let mut first = ingress.first();
    let last = ingress.post("", &callback("{}")).await.id();
    let mut found = Vec::new();
    loop {
        let id = ingress.take(&mut first).await.request_id;
        if id == last {
            return found;
        }
        found.push(id);
    }
}

#[actix_web::test]
async fn a_hundred_repeats_at_once_are_one_callback() {
    let ingress = TestIngress::start().await;
    let body = callback("{}");
    let answers = join_all((0..100).map(|_| ingress.post(KEY, &body))).await;
    let id = answers[0].id();
    for response in &answers {
        assert_eq!((response.summary(), response.id()), ((200, "000"), id));
    }
    assert_eq!(queued(&ingress).await, [id]);
}

#[actix_web::test]
async fn a_key_belongs_to_its_body_and_its_app() {
    let ingress = TestIngress::start().await;
    let body = callback("{}");
    let id = ingress.post(KEY, &body).await.id();
    let conflict = ingress.post(KEY, &format!("{body} ")).await;
    assert_eq!(conflict.summary(), (409, "409"));
    assert_eq!(conflict.text("request_id"), "");
    let other = body.replace(r#""app_id":"a""#, r#""app_id":"b""#);
    assert_ne!(ingress.post(KEY, &other).await.id(), id);
    let other = ingress.post("idempotency-key: k2\r\n", &body).await;
    assert_ne!(other.id(), id);
    assert_eq!(queued(&ingress).await.len(), 3);
}

#[actix_web::test]
async fn a_malformed_key_is_a_400_that_names_it() {
    let ingress = TestIngress::start().await;
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
        let response = ingress.post(&header, &callback("{}")).await;
        assert_eq!(response.summary(), (400, "400"));
        assert_eq!(response.text("msg"), sentence);
    }
}

#[actix_web::test]
async fn a_claim_whose_publish_died_is_taken_over_under_its_id() {
    let ingress = TestIngress::start().await;
    let body = callback("{}");
    let id = claim_elsewhere(&ingress, &body, Duration::from_millis(500)).await;
    let response = ingress.post(KEY, &body).await;
    assert_eq!((response.summary(), response.id()), ((200, "000"), id));
    assert_eq!(queued(&ingress).await, [id]);
}

#[actix_web::test]
async fn a_claim_that_is_not_settled_in_time_is_a_503_with_its_id() {
    let ingress = TestIngress::start().await;
    let body = callback("{}");
    let id = claim_elsewhere(&ingress, &body, TIMEOUT).await;
    let response = ingress.post(KEY, &body).await;
    assert_eq!((response.summary(), response.id()), ((503, "500"), id));
    assert!(queued(&ingress).await.is_empty());
}

#[actix_web::test]
async fn a_repeat_during_the_first_publish_waits_for_its_confirm() {
    let ingress = TestIngress::start().await;
    let body = callback("{}");
    let id = claim_elsewhere(&ingress, &body, TIMEOUT).await;
    let confirming = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        ingress.journal.confirm_claim("a", "k1").await.unwrap();
    };
    let (response, ()) = tokio::join!(ingress.post(KEY, &body), confirming);
    assert_eq!((response.summary(), response.id()), ((200, "000"), id));
    assert!(queued(&ingress).await.is_empty());
}

#[actix_web::test]
async fn a_rejected_callback_leaves_its_key_to_the_next_request() {
    let ingress = TestIngress::with(|config, _| config.max_backlog = 1).await;
    ingress.post("", &callback("{}")).await.id();
    // The queue depths are refreshed once a second.
    let body = callback("{}");
    let full = eventually(async || {
        let response = ingress.post("", &body).await;
        match response.status {
            503 => Ok(()),
            _ => Err(format!("{response:?}")),
        }
    });
    full.await;
    // A fresh claim proves that nothing was published; under one that is taken over, an earlier
    // request may have published.
    let first = ingress.post(KEY, &body).await;
    assert_eq!(
        (first.summary(), first.text("request_id")),
        ((503, "500"), "")
    );
    let second = ingress.post(KEY, &body).await;
    assert_eq!(second.summary(), (503, "500"));
    let id = second.id();
    let mut queue = ingress.first();
    let third = eventually(async || {
        while let Ok(received) =
            tokio::time::timeout(Duration::from_millis(200), queue.next()).await
        {
            received.settle(Settlement::Complete).await.unwrap();
        }
        let response = ingress.post(KEY, &body).await;
        match response.status {
            200 => Ok(response),
            _ => Err(format!("{response:?}")),
        }
    });
    assert_eq!(third.await.id(), id);
}

#[actix_web::test]
async fn a_repeat_that_waits_gets_the_outcome_of_the_first_attempt() {
    let ingress = TestIngress::start().await;
    let body = callback(r#"{"delay_seconds":60}"#);
    let id = ingress.post(KEY, &body).await.id();
    let headers = format!("{KEY}prefer: wait=1\r\n");
    let response = ingress.post(&headers, &body).await;
    assert_eq!((response.summary(), response.id()), ((202, "202"), id));
    ingress.delete(id).await;
    let response = ingress.post(&headers, &body).await;
    assert_eq!((response.summary(), response.id()), ((200, "500500"), id));
}
