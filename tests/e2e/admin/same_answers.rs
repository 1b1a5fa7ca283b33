//! Whoever is asked gives the same answers: one process, or two dispatchers and two admins.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::gateway::Instance;
use tests::tls_certs::Authority;
use tests::{BrokerKind, Callee, GatewayOptions, SharedGateway, eventually, on_shared_runtime};

use super::control::{SOON, ask};
use crate::security::tls::server::Server;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn is_rabbitmq() -> bool {
    BrokerKind::chosen() == BrokerKind::RabbitMq
}

/// A gateway with two dispatchers, or of one process; the second attempt comes after an hour.
async fn fixture(more: &[(&str, &str)]) -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
        let options = GatewayOptions {
            dispatchers: 2,
            ..GatewayOptions::default()
        };
        let options = options.with("RINGBACK__RETRY__SCHEDULE", "1h");
        let with = |options: GatewayOptions, (key, value): &(&str, &str)| options.with(key, value);
        more.iter().fold(options, with).with_journal()
    })
    .await
}

/// Everybody who can be asked. The instances end when they are dropped.
async fn everybody(fixture: &SharedGateway) -> (Vec<SocketAddr>, Vec<Instance>) {
    let gateway = &fixture.gateway;
    if !is_rabbitmq() {
        return (vec![gateway.ingress.admin], Vec::new());
    }
    let admins = vec![
        gateway.start_instance("admin").await,
        gateway.start_instance("admin").await,
    ];
    let all = gateway.dispatchers.iter().chain(&admins);
    (all.map(|it| it.admin).collect(), admins)
}

/// The answers of everybody, once they are all the same and contain what is `expected`.
async fn agree(
    asked: &[SocketAddr],
    path: &str,
    of: impl Fn(&Value) -> Value,
    expected: impl Fn(&Value) -> bool,
) -> Value {
    eventually(&format!("the same answers of {path}"), SOON, async || {
        let mut answers = Vec::new();
        for admin in asked {
            answers.push(of(&ask(*admin, path).await?));
        }
        let first = answers[0].clone();
        let same = answers.iter().all(|answer| *answer == first);
        match same && expected(&first) {
            true => Ok(first),
            false => Err(format!("{answers:#?}")),
        }
    })
    .await
}

/// The items by what identifies them, each with these members.
fn items(page: &Value, id: &str, members: &[&str]) -> Value {
    let items = page["items"].as_array().unwrap().iter();
    let items = items.filter(|it| it[id].is_string() || it[id].is_number());
    let by_id: BTreeMap<String, Value> = items
        .map(|it| {
            let members = members.iter().map(|member| it[member].clone());
            (it[id].to_string(), members.collect())
        })
        .collect();
    json!({ "items": by_id, "warnings": page["warnings"], "silent": page["seen_by"]["silent"] })
}

/// Each check with its severity, and its sentence unless it speaks of the process or of this moment.
fn findings(view: &Value) -> Value {
    let of_one = ["memory", "files", "queues", "journal backlog", "oldest due"];
    let findings = view["findings"].as_array().unwrap().iter();
    let found = findings.map(|finding| {
        let check = finding["check"].as_str().unwrap();
        let sentence = match of_one.contains(&check) {
            true => Value::Null,
            false => finding["sentence"].clone(),
        };
        json!([check, finding["severity"], sentence])
    });
    found.collect()
}

/// Without the time that is left or has passed, which differs from question to question.
fn without_spans(text: &str) -> String {
    let mut kept = String::new();
    for piece in text.split_inclusive('(') {
        let span = piece.split_once(')').filter(|(inside, _)| {
            inside.starts_with("in ") || inside.ends_with(" ago") || *inside == "now"
        });
        kept.push_str(span.map_or(piece, |(_, rest)| rest));
    }
    kept
}

#[test]
fn whoever_is_asked_says_the_same() {
    on_shared_runtime(async {
        let fixture = fixture(&[]).await;
        let fixture = fixture.in_test();
        let (asked, _admins) = everybody(&fixture).await;
        for _ in 0..20 {
            let id = fixture.send(&fixture.callback("/ok")).await;
            fixture.received(&id, 1).await;
        }
        let failed = fixture.send(&fixture.callback("/status/503")).await;
        fixture.received(&failed, 1).await;

        let processes = if is_rabbitmq() { 5 } else { 1 };
        let of = |page: &Value| items(page, "pid", &["role", "answered", "settings", "version"]);
        let all_answer = |found: &Value| {
            let items = found["items"].as_object().unwrap();
            items.len() == processes && items.values().all(|it| it[1] == true)
        };
        agree(&asked, "/admin/v1/instances", of, all_answer).await;

        let members = [
            "since_start",
            "last_5_min",
            "success_ratio",
            "breaker",
            "slots",
            "in_flight",
            "last_error",
            "unfinished",
        ];
        let of = |page: &Value| items(page, "target", &members);
        let target = json!(format!("http://{}", fixture.callee.address)).to_string();
        let counted = |found: &Value| {
            let it = &found["items"][&target];
            it[0]["delivered"] == 20 && it[0]["rejected"]["5xx"] == 1 && it[7]["count"] == 1
        };
        let found = agree(&asked, "/admin/v1/targets", of, counted).await;
        let dispatchers = if is_rabbitmq() { 2 } else { 1 };
        assert_eq!(found["items"][&target][4], 256 * dispatchers, "{found}");

        let of = |page: &Value| items(page, "app_id", &["in_flight", "unfinished", "waiting"]);
        let app = fixture.callback("/ok")["app_id"].to_string();
        let waits = |found: &Value| found["items"][&app] == json!([0, 1, 1]);
        agree(&asked, "/admin/v1/apps", of, waits).await;

        let of = |callback: &Value| {
            let mut callback = callback.clone();
            let explanation = callback["explanation"].as_str().unwrap_or_default();
            callback["explanation"] = json!(without_spans(explanation));
            callback
        };
        let is_retried = |found: &Value| {
            let explanation = found["explanation"].as_str().unwrap_or_default();
            found["status"] == "retrying"
                && explanation.starts_with("Attempt 1 failed at ")
                && explanation.contains("The next attempt is at ")
        };
        agree(
            &asked,
            &format!("/admin/v1/callbacks/{failed}"),
            of,
            is_retried,
        )
        .await;

        let well = |found: &Value| {
            let mut all = found.as_array().unwrap().iter();
            all.all(|it| it[1] != "failure" && it[1] != "warning")
        };
        let found = agree(&asked, "/admin/v1/doctor", findings, well).await;
        assert!(found.as_array().unwrap().len() > 12, "{found}");
    });
}

#[test]
fn a_callback_in_flight_is_delivering_whoever_is_asked() {
    on_shared_runtime(async {
        let fixture = fixture(&[]).await;
        let fixture = fixture.in_test();
        let (asked, _admins) = everybody(&fixture).await;
        let id = fixture.send(&fixture.callback("/slow/20000")).await;
        fixture.received(&id, 1).await;
        let of = |callback: &Value| {
            let explanation = callback["explanation"].as_str().unwrap_or_default();
            json!([callback["status"], without_spans(explanation)])
        };
        let in_flight = |found: &Value| {
            let explanation = found[1].as_str().unwrap_or_default();
            found[0] == "delivering" && explanation.starts_with("Attempt 1 is in flight at ")
        };
        agree(&asked, &format!("/admin/v1/callbacks/{id}"), of, in_flight).await;
    });
}

#[test]
fn a_certificate_that_one_dispatcher_has_seen_is_named_by_all_with_the_days_left() {
    on_shared_runtime(async {
        let authority = Authority::new("ours");
        let temp = tests::cleanup::TempDirectory::new("certificates");
        let ca = authority.write(temp.path(), "ca.crt").display().to_string();
        // At midnight, at least ten days and less than eleven from now.
        let until = contract::rfc3339(crate::fixtures::unix_ms() + 11 * DAY_MS);
        let mut parts = until[..10].split('-').map(|part| part.parse().unwrap());
        let [year, month, day]: [u16; 3] = std::array::from_fn(|_| parts.next().unwrap());
        let [month, day] = [month, day].map(|it| u8::try_from(it).unwrap());
        let date = (i32::from(year), month, day);
        let certificate = authority.issue_until("127.0.0.1", date);
        let server = Server::start(certificate.server(None)).await;
        let url = server.url();
        let fixture = fixture(&[
            ("RINGBACK__CALLEES__EO001__URL", &*url),
            ("RINGBACK__CALLEES__EO001__CA_FILE", &*ca),
        ])
        .await;
        let fixture = fixture.in_test();
        let (asked, _admins) = everybody(&fixture).await;
        let of = |view: &Value| {
            let findings = view["findings"].as_array().unwrap().iter();
            let mut of_check = findings.filter(|it| it["check"] == "certificates");
            of_check.next().unwrap().clone()
        };
        let unseen = |found: &Value| {
            let sentence = found["sentence"].as_str().unwrap();
            found["severity"] == "unknown" && sentence.contains("no handshake")
        };
        agree(&asked, "/admin/v1/doctor", of, unseen).await;
        // One attempt, so that one dispatcher sees it.
        let mut body = fixture.callback("/ok");
        body.as_object_mut().unwrap().remove("callback_url");
        body["callee_no"] = json!("EO001");
        let id = fixture.send(&body).await;
        eventually("the request", SOON, async || server.took(&id).then_some(())).await;
        let midnight = format!("{}T00:00:00.000Z", &until[..10]);
        let expected = format!("127.0.0.1 (EO001 乐居新房) expires at {midnight}, in 10 days");
        let soon = |found: &Value| found["severity"] == "warning" && found["sentence"] == expected;
        agree(&asked, "/admin/v1/doctor", of, soon).await;
        assert_eq!(server.connections(), 1, "one dispatcher has seen it");
    });
}
