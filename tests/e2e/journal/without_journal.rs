//! Requests that need a journal, without one. RabbitMQ alone has none; the embedded store always
//! has one.

use serde_json::Value;
use tests::BrokerKind;
use tests::callback;
use tests::on_shared_runtime;
use tests::{GatewayRole, eventually};

use crate::admin::doctor::doctor;
use crate::fixtures::shared;

const SOON: std::time::Duration = std::time::Duration::from_secs(60);
/// An id of 2023: none of its records can still be in transit.
const NEVER_GIVEN: &str = "018bcfe5-6800-7000-8000-000000000007";

#[test]
fn a_query_without_a_journal_is_501_and_never_a_404() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let path = format!("/api/callback/{NEVER_GIVEN}");
        let expected = match BrokerKind::chosen() {
            BrokerKind::RabbitMq => (501, "501"),
            BrokerKind::Embedded => (404, "404"),
        };
        let body = eventually("the answer", SOON, async || {
            let (status, body) = fixture.gateway.get(GatewayRole::Ingress, &path).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            // A journal answers 503 until it is certain that nothing is in transit.
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
    on_shared_runtime(async {
        let fixture = shared().await;
        let url = fixture.callee.url("/ok/idempotent");
        let body = callback(&url).to_string();
        let key = [("idempotency-key", "k1")];
        let keyed = fixture.gateway.post_raw(body.clone(), &key).await;
        let accepted = match BrokerKind::chosen() {
            BrokerKind::RabbitMq => {
                assert_eq!((keyed.status, keyed.code().as_str()), (501, "501"));
                fixture.gateway.post_raw(body, &[]).await.accepted()
            }
            BrokerKind::Embedded => {
                let again = fixture.gateway.post_raw(body, &key).await;
                assert_eq!(again.accepted(), keyed.accepted());
                keyed.accepted()
            }
        };
        // The callback that arrived alone proves that the other one was not sent.
        fixture.received(&accepted, 1).await;
        let received = fixture.callee.requests.received();
        let here = received.iter().filter(|it| it.path == "/ok/idempotent");
        assert_eq!(here.count(), 1);
    });
}

#[test]
fn each_role_says_what_answers_501_and_which_setting_mends_it() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let with_rabbitmq = BrokerKind::chosen() == BrokerKind::RabbitMq;
        let roles = [
            (
                GatewayRole::Ingress,
                "the query, cancel and Idempotency-Key",
            ),
            (GatewayRole::Dispatcher(0), "dead letters, replay"),
        ];
        for (instance, (role, missing)) in fixture.gateway.instances().zip(roles) {
            let log = instance.process.log();
            let warnings: Vec<Value> = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .filter(|event: &Value| event["setting"] == "journal.url")
                .collect();
            let (status, page) = fixture.gateway.get_details(role, "/readyz").await;
            let page: Value = serde_json::from_str(&page).unwrap();
            assert_eq!(status, 200, "{page}");
            let (_, bare) = fixture.gateway.get(role, "/readyz").await;
            if !with_rabbitmq {
                assert_eq!(warnings.len(), 0, "{log}");
                assert_eq!(page.get("notes"), None, "{page}");
                assert!(!bare.contains("notes"), "{bare}");
                continue;
            }
            let [warning] = &*warnings else {
                panic!("not one warning: {log}");
            };
            assert_eq!(warning["level"], "WARN", "{warning}");
            let sentence = warning["message"].as_str().unwrap();
            for part in [missing, "answer 501", "RINGBACK__JOURNAL__URL"] {
                assert!(sentence.contains(part), "{part}: {sentence}");
            }
            assert_eq!(page["notes"]["no_journal"], sentence, "{page}");
            assert_eq!(bare, "{\"status\":\"ready\",\"notes\":[\"no_journal\"]}\n");
        }
        let (_, output) = doctor(&["--admin", &fixture.gateway.admin_url()]).await;
        let line = "warning  journal          there is no journal: the query, cancel, \
                    Idempotency-Key, dead letters and replay answer 501. Next: set journal.url";
        assert_eq!(output.contains(line), with_rabbitmq, "{output}");
    });
}
