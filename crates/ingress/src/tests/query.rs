//! Tests that queries and cancellations are truthful: an accepted callback is never a 404.

use super::*;
use crate::enqueue::EnqueueRequest;
use crate::validate_target::validate_target;
use journal::{Record, RecordedState};

/// An id generated this long ago.
fn id_from(ago: Duration) -> Uuid {
    let at = contract::unix_ms(std::time::SystemTime::now() - ago);
    uuid::Builder::from_unix_timestamp_millis(at, &[7; 10]).into_uuid()
}

async fn known(ingress: &TestIngress, id: Uuid) -> TestResponse {
    eventually(async || {
        let response = ingress.get(id).await;
        match response.status {
            200 => Ok(response),
            _ => Err(format!("{response:?}")),
        }
    })
    .await
}

#[actix_web::test]
async fn an_accepted_callback_is_known_at_once_with_its_fields() {
    let ingress = TestIngress::start().await;
    let id = ingress.post("", &callback("{}")).await.id();
    let response = known(&ingress, id).await;
    assert_eq!(response.summary(), (200, "202"));
    assert_eq!(response.id(), id);
    assert_eq!(response.text("app_id"), "a");
    assert_eq!(response.text("callback_url"), "https://x.cn/a?***");
    let status = response.text("status");
    assert!(["queued", "delivering"].contains(&status), "{status}");
    let json = "application/json; charset=utf-8";
    assert_eq!(response.header("content-type"), Some(json));
}

#[actix_web::test]
async fn an_unknown_id_is_a_404_unless_its_record_may_be_in_transit() {
    let ingress = TestIngress::start().await;
    // As soon as the queue depths are known.
    eventually(async || {
        let response = ingress.get(id_from(Duration::from_secs(3_600))).await;
        match response.status {
            404 => Ok(()),
            _ => Err(format!("{response:?}")),
        }
    })
    .await;
    for never in ["7", "not-an-id", "00000000-0000-0000-0000-000000000007"] {
        let (get, delete) = (ingress.get(never).await, ingress.delete(never).await);
        assert_eq!(get.summary(), (404, "404"), "{get:?}");
        assert_eq!(delete.summary(), (404, "404"), "{delete:?}");
        assert_eq!(get.text("request_id"), "");
    }
    let young = id_from(Duration::ZERO);
    for response in [ingress.get(young).await, ingress.delete(young).await] {
        assert_eq!(response.summary(), (503, "500"));
        assert_eq!(response.id(), young);
        assert!(response.header("retry-after").is_some());
    }
}

#[actix_web::test]
async fn other_methods_are_a_405_that_names_the_allowed_ones() {
    let ingress = TestIngress::start().await;
    let path = format!("/api/callback/{}", Uuid::now_v7());
    let response = ingress.ask("PUT", &path, "", "").await;
    assert_eq!(response.summary(), (405, "405"));
    assert_eq!(response.header("allow"), Some("GET, HEAD, DELETE, OPTIONS"));
    let response = ingress.ask("GET", "/api/callback", "", "").await;
    assert_eq!(response.header("allow"), Some("POST, OPTIONS"));
}

#[actix_web::test]
async fn a_delayed_callback_can_be_cancelled_as_soon_as_it_is_accepted() {
    let ingress = TestIngress::start().await;
    let id = ingress
        .post("", &callback(r#"{"delay_seconds":60}"#))
        .await
        .id();
    for response in [
        ingress.delete(id).await,
        ingress.delete(id).await,
        ingress.get(id).await,
    ] {
        assert_eq!(response.summary(), (200, "500500"));
        assert_eq!(response.text("status"), "cancelled");
    }
}

#[actix_web::test]
async fn cancelling_a_due_callback_is_only_a_request() {
    let ingress = TestIngress::start().await;
    let id = ingress.post("", &callback("{}")).await.id();
    known(&ingress, id).await;
    let response = ingress.delete(id).await;
    assert_eq!(response.summary(), (202, "202"));
    assert_eq!(response.id(), id);
}

#[actix_web::test]
async fn a_query_waits_for_a_final_status() {
    let ingress = TestIngress::start().await;
    let id = ingress
        .post("", &callback(r#"{"delay_seconds":60}"#))
        .await
        .id();
    let path = format!("/api/callback/{id}");
    let asking = ingress.ask("GET", &path, "prefer: wait=9\r\n", "");
    let ending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        ingress.delete(id).await
    };
    let (response, _) = tokio::join!(asking, ending);
    assert_eq!(response.text("status"), "cancelled");
    assert_eq!(response.header("preference-applied"), Some("wait=9"));

    let other = ingress
        .post("", &callback(r#"{"delay_seconds":60}"#))
        .await
        .id();
    let path = format!("/api/callback/{other}");
    let response = ingress.ask("GET", &path, "prefer: wait=1\r\n", "").await;
    assert_eq!(response.summary(), (200, "202"));
    assert_eq!(response.text("status"), "queued");
}

#[actix_web::test]
async fn a_query_that_waits_sees_a_record_that_arrives_later() {
    let ingress = TestIngress::start().await;
    let id = Uuid::now_v7();
    let path = format!("/api/callback/{id}");
    let asking = ingress.ask("GET", &path, "prefer: wait=9\r\n", "");
    let arriving = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let other = ingress.post("", &callback("{}")).await.id();
        let mut origin = known_origin(&ingress, other).await;
        origin.request_id = id;
        let at = origin.accepted_at;
        let record = Record {
            origin,
            generation: 0,
            attempt: 1,
            at,
            state: RecordedState::Delivered,
            attempted: None,
            hold: 0,
            message: None,
        };
        ingress.journal.record(&[record]).await.unwrap();
    };
    let (response, ()) = tokio::join!(asking, arriving);
    assert_eq!(response.summary(), (200, "000"));
    assert_eq!(response.text("status"), "delivered");
}

#[actix_web::test]
async fn a_callback_whose_message_was_purged_is_said_to_be_overdue() {
    let ingress = TestIngress::start().await;
    let other = ingress.post("", &callback("{}")).await.id();
    let mut origin = known_origin(&ingress, other).await;
    origin.request_id = id_from(Duration::from_secs(600));
    origin.accepted_at -= 600_000;
    let (id, at) = (origin.request_id, origin.accepted_at);
    let record = Record {
        origin,
        generation: 0,
        attempt: 1,
        at,
        state: RecordedState::Queued {
            not_before: Some(at + 60_000),
        },
        attempted: None,
        hold: 0,
        message: None,
    };
    ingress.journal.record(&[record]).await.unwrap();
    let path = format!("/api/callback/{id}");
    let english = "accept-language: en\r\n";
    let response = ingress.ask("GET", &path, english, "").await;
    assert_eq!(response.summary(), (200, "202"));
    let note = response.text("note");
    assert!(note.contains("9 minutes overdue"), "{note}");
    assert!(note.contains("removed from the queue by hand"), "{note}");
    let chinese = ingress.get(id).await;
    assert!(chinese.text("note").contains("已逾期9分钟"));
    // One that was just accepted has no note.
    assert_eq!(ingress.get(other).await.text("note"), "");
}

async fn known_origin(ingress: &TestIngress, id: Uuid) -> journal::Origin {
    known(ingress, id).await;
    ingress.journal.find(id).await.unwrap().unwrap().origin
}

#[actix_web::test]
async fn without_a_journal_no_id_is_a_404() {
    let ingress = TestIngress::with(|_, dependencies| dependencies.journal = None).await;
    let id = ingress.post("", &callback("{}")).await.id();
    for response in [
        ingress.get(id).await,
        ingress.get("7").await,
        ingress.delete(id).await,
        ingress
            .post("idempotency-key: k\r\n", &callback("{}"))
            .await,
    ] {
        assert_eq!(response.summary(), (501, "501"));
        assert_eq!(response.text("request_id"), "");
    }
    // A delay needs no journal.
    let delayed = ingress.post("", &callback(r#"{"delay_seconds":60}"#)).await;
    assert_eq!(delayed.summary(), (200, "000"));
}

#[actix_web::test]
async fn an_unavailable_journal_is_a_503_and_never_a_404() {
    let ingress = TestIngress::start().await;
    let id = ingress.post("", &callback("{}")).await.id();
    ingress.journal.close().await;
    for response in [ingress.get(id).await, ingress.delete(id).await] {
        assert_eq!(response.summary(), (503, "500"));
        assert_eq!(response.id(), id);
        assert!(response.header("retry-after").is_some());
    }
    let keyed = ingress
        .post("idempotency-key: k\r\n", &callback("{}"))
        .await;
    assert_eq!(
        (keyed.summary(), keyed.text("request_id")),
        ((503, "500"), "")
    );
    // Queued, but a cancellation would not find it.
    let delayed = ingress.post("", &callback(r#"{"delay_seconds":60}"#)).await;
    assert_eq!(delayed.summary(), (503, "500"));
    delayed.id();
    // A request that needs nothing of the journal is not affected.
    let plain = ingress.post("", &callback("{}")).await;
    assert_eq!(plain.summary(), (200, "000"));
}

#[actix_web::test]
async fn the_id_of_a_caller_that_goes_away_before_the_confirm_is_never_denied() {
    let ingress = TestIngress::start().await;
    let state = &ingress.state;
    let journal = state.enqueuer.journal.clone().unwrap();
    let own = journal.recorder.info();
    let registered = journal.journal.register(&own, true, own.started_at);
    registered.await.unwrap();
    journal.recorder.set_registered();
    let mut first = ingress.first();

    let body = bytes::Bytes::from(callback("{}"));
    let request = contract::Request::parse(&body, &state.rules).ok().unwrap();
    let validated = validate_target(request, &state.callees.get(), &state.guards.get());
    let request = EnqueueRequest {
        validated: validated.ok().unwrap(),
        trace: crate::message::CallerTrace::default(),
        wait_until: None,
    };
    // The server drops the request of a caller that has gone.
    let mut enqueuing = Box::pin(Arc::clone(&state.enqueuer).enqueue(request, None));
    tokio::select! {
        biased;
        _ = &mut enqueuing => panic!("confirmed at once"),
        () = std::future::ready(()) => drop(enqueuing),
    }
    let in_doubt = ingress.take(&mut first).await.request_id;
    tokio::time::sleep(Duration::from_millis(5)).await; // A time of its own.
    let acceptance = journal.recorder.begin();
    let unused = acceptance.new_request_id();
    acceptance.not_accepted();
    eventually(async || match ingress.get(unused).await {
        response if response.status == 404 => Ok(()),
        response => Err(format!("{response:?}")),
    })
    .await;
    for response in [ingress.get(in_doubt).await, ingress.delete(in_doubt).await] {
        assert_eq!(response.summary(), (503, "500"), "{response:?}");
        assert_eq!(response.id(), in_doubt);
    }
}
