//! What operators learn of a failed attempt: its cause all of them, messages and answers those with the
//! role `payload` alone, and callers neither.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use delivery::auth::KeyHash;
use serde_json::{Value, json};
use tests::cleanup::TempDirectory;
use tests::tls_certs::Authority;
use tests::{
    Callee, GatewayOptions, Process, ScriptedReply, SharedGateway, TestTarget, callback,
    eventually, on_shared_runtime,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Upper bound for something that only the machine's load delays.
const SOON: Duration = Duration::from_secs(60);
/// The name of an operator with each role is that of the role.
const ROLES: [&str; 4] = ["read", "replay", "configure", "payload"];
/// Of the target; masked.
const TOKEN: &str = "abcS3CR3Tdef";
/// Of the target; shown to the role `payload`.
const SENTENCE: &str = "字段缺失";

fn operator_token(role: &str) -> String {
    format!("token-of-the-operator-{role}")
}

/// A gateway with an operator for each role, and perhaps a settings file.
async fn fixture(config: Option<&str>) -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
        let mut options = GatewayOptions::default().with_journal();
        if let Some(config) = config {
            options = options.with("RINGBACK_CONFIG", config);
        }
        for role in ROLES {
            let hash = KeyHash::of(operator_token(role).as_bytes()).to_string();
            let key = format!("RINGBACK__ADMIN__TOKENS__{role}");
            options = options
                .with(&format!("{key}__HASH"), &hash)
                .with(&format!("{key}__ROLE"), role);
        }
        options
    })
    .await
}

/// Runs `ringback` as the operator of this role: whether it succeeded, and its output.
async fn run(fixture: &SharedGateway, role: &str, words: &[&str]) -> (bool, String) {
    let admin = fixture.gateway.admin_url();
    let mut words = words.to_vec();
    words.extend(["--admin", &admin]);
    let token = operator_token(role);
    let variables = [("USER", "ann"), ("RINGBACK__ADMIN__TOKEN", &token)];
    let mut process = Process::ringback(&words, variables);
    let ended = process.wait_exit(SOON).await;
    (ended.success(), process.log())
}

/// The output of a command that must succeed.
async fn shown(fixture: &SharedGateway, role: &str, words: &[&str]) -> String {
    let (succeeded, output) = run(fixture, role, words).await;
    assert!(succeeded, "{words:?} as {role}: {output}");
    output
}

async fn wait_until_dead(fixture: &SharedGateway, id: &str) {
    eventually("a dead letter in the journal", SOON, async || {
        let (_, output) = run(fixture, "read", &["callback", "show", id]).await;
        let dead = output.contains("status  dead");
        dead.then_some(()).ok_or(output)
    })
    .await;
}

fn logs(fixture: &SharedGateway) -> String {
    let instances = fixture.gateway.instances();
    instances.map(|instance| instance.process.log()).collect()
}

fn once(mut callback: Value) -> Value {
    callback["options"] = json!({"max_attempts": 1});
    callback
}

/// The URL of a server with an expired certificate, and the path of its authority.
async fn expired_server(temp: &TempDirectory) -> (String, String) {
    let authority = Authority::new("ours");
    let config = authority.issue_expired("127.0.0.1").server(None);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}/in", listener.local_addr().unwrap());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await; // The client rejects the certificate.
        }
    });
    let file = authority.write(temp.path(), "ours.crt");
    (url, file.display().to_string())
}

#[test]
fn an_expired_certificate_is_named_to_operators_and_not_to_callers() {
    on_shared_runtime(async {
        let temp = TempDirectory::new("payload");
        let (url, authority) = expired_server(&temp).await;
        let file = temp.path().join("settings.toml");
        let callee = format!("[callees.OLD]\nurl = \"{url}\"\nca_file = \"{authority}\"\n");
        fs::write(&file, callee).unwrap();
        let fixture = fixture(Some(&file.display().to_string())).await;
        let fixture = fixture.in_test();
        let mut body = once(callback(""));
        body.as_object_mut().unwrap().remove("callback_url");
        body["callee_no"] = json!("OLD");
        let id = fixture.send(&body).await;
        wait_until_dead(&fixture, &id).await;

        let expired = "certificate expired";
        for words in [
            ["callback", "show", &id],
            ["dead-letters", "show", &id],
            ["dead-letters", "list", "--json"],
        ] {
            let output = shown(&fixture, "read", &words).await;
            assert!(output.contains(expired), "{words:?}: {output}");
        }
        let log = logs(&fixture);
        assert!(log.contains(expired), "{log}");
        let query = fixture.gateway.query(&id).await.json();
        assert!(query.to_string().contains("\"tls\""), "{query}");
        assert!(!query.to_string().contains("expired"), "{query}");
    });
}

#[test]
fn an_answer_is_kept_masked_and_shown_to_the_role_payload_alone_with_an_audit_row() {
    on_shared_runtime(async {
        let reply = ScriptedReply::status(400)
            .header("content-type", "application/json; charset=utf-8")
            .body("{\"token\":\"abcS3CR3Tdef\",\"msg\":\"字段缺失\"}");
        let target = TestTarget::http(reply);
        let fixture = fixture(None).await;
        let fixture = fixture.in_test();
        let id = fixture.send(&once(callback(&target.url()))).await;
        wait_until_dead(&fixture, &id).await;

        for kind in ["callback", "dead-letters"] {
            let with_payload = [kind, "show", &id, "--payload"];
            for role in ["read", "replay", "configure"] {
                let output = shown(&fixture, role, &[kind, "show", &id]).await;
                assert!(
                    !output.contains(SENTENCE) && !output.contains("field1"),
                    "{output}"
                );
                let (succeeded, output) = run(&fixture, role, &with_payload).await;
                let refused = !succeeded && output.contains("a token with the role payload");
                assert!(refused, "{role}: {output}");
                assert!(!output.contains(SENTENCE), "{output}");
            }
        }
        let audit = shown(&fixture, "read", &["audit", "--json"]).await;
        assert_eq!(audit.trim(), "", "nothing was looked at");

        let look = ["callback", "show", &id, "--payload", "--reason", "ticket 7"];
        let output = shown(&fixture, "payload", &look).await;
        let answer = format!(
            r#"answer to attempt 1 (application/json; charset=utf-8 400): {{"token":"***","msg":"{SENTENCE}"}}"#
        );
        for words in [r#"message: {"field1":1}"#, &answer] {
            assert!(output.contains(words), "{words}: {output}");
        }
        let look = ["dead-letters", "show", &id, "--payload", "--json"];
        let output = shown(&fixture, "payload", &look).await;
        let object: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(object["request_id"], *id);
        assert_eq!(object["payload"]["answers"][0]["http_status"], 400);

        let audit = shown(&fixture, "read", &["audit", "--json"]).await;
        let looks: Vec<Value> = audit
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(looks.len(), 2, "{audit}");
        for (entry, reason) in looks.iter().zip(["no reason given", "ticket 7"]) {
            assert_eq!(
                (&entry["action"], &entry["subject"], &entry["reason"]),
                (&json!("look"), &json!(id), &json!(reason))
            );
            let actor = entry["actor"].as_str().unwrap();
            assert!(actor.starts_with("payload (ann@"), "{audit}");
        }
        let query = fixture.gateway.query(&id).await.json().to_string();
        for (what, text) in [
            ("a log", logs(&fixture)),
            ("the query", query),
            ("the audit log", audit),
        ] {
            for secret in [TOKEN, SENTENCE] {
                assert!(!text.contains(secret), "{what}: {text}");
            }
        }
    });
}
