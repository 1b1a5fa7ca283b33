//! What is a caller told who asks for what only a journal can answer? RabbitMQ alone has none, the
//! embedded store always has one beside it.

use serde_json::Value;
use tests::kind::Kind;
use tests::together::together;
use tests::world::callback;
use tests::{Role, eventually};

use crate::shared::shared;

const SOON: std::time::Duration = std::time::Duration::from_secs(60);
/// Drawn in 2023: nothing of it can still be on its way into a journal.
const NEVER_GIVEN: &str = "018bcfe5-6800-7000-8000-000000000007";

#[test]
fn a_query_without_a_journal_is_501_and_never_a_404() {
    together(async {
        let world = shared().await;
        let path = format!("/api/callback/{NEVER_GIVEN}");
        let expected = match Kind::chosen() {
            Kind::RabbitMq => (501, "501"),
            Kind::Embedded => (404, "404"),
        };
        let body = eventually("the answer", SOON, async || {
            let (status, body) = world.gateway.get(Role::Ingress, &path).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            // A journal says 503 until it knows that nothing is on its way.
            let told = (status, body["code"].as_str().unwrap_or_default());
            if told == expected {
                Ok(body)
            } else {
                Err(format!("{status}: {body}"))
            }
        })
        .await;
        assert!(body.get("request_id").is_none());
    });
}

#[test]
fn an_idempotency_key_without_a_journal_is_refused_and_nothing_is_sent() {
    together(async {
        let world = shared().await;
        let url = world.callee.url("/ok/idempotent");
        let body = callback(&url).to_string();
        let key = [("idempotency-key", "k1")];
        let keyed = world.gateway.post_raw(body.clone(), &key).await;
        let accepted = match Kind::chosen() {
            Kind::RabbitMq => {
                assert_eq!((keyed.status, keyed.code().as_str()), (501, "501"));
                world.gateway.post_raw(body, &[]).await.accepted()
            }
            Kind::Embedded => {
                let again = world.gateway.post_raw(body, &key).await;
                assert_eq!(again.accepted(), keyed.accepted());
                keyed.accepted()
            }
        };
        // Absence is shown by the next one: it arrived alone.
        world.received(&accepted, 1).await;
        let received = world.callee.book.received();
        let here = received.iter().filter(|it| it.path == "/ok/idempotent");
        assert_eq!(here.count(), 1);
    });
}
