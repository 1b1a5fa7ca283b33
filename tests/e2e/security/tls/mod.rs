//! HTTPS targets: which certificates the gateway trusts, and which one it presents.

pub(crate) mod server;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::cleanup::TempDirectory;
use tests::tls_certs::{Authority, Certificate};
use tests::{GatewayOptions, GatewayRole, SharedGateway, callback, eventually};

use crate::admin::doctor::doctor;
use server::Server;

const IN_TIME: Duration = Duration::from_secs(60);
const HOST: &str = "127.0.0.1";

async fn fixture(temp: &TempDirectory, callees: &str) -> SharedGateway {
    let file = temp.path().join("settings.toml");
    fs::write(&file, callees).unwrap();
    SharedGateway::start(|_| {
        GatewayOptions::default().with("RINGBACK_CONFIG", &file.display().to_string())
    })
    .await
}

fn section(no: &str, server: &Server, lines: &[(&str, &Path)]) -> String {
    let files = lines
        .iter()
        .map(|(key, path)| format!("{key} = \"{}\"\n", path.display()));
    let files: String = files.collect();
    format!("[callees.{no}]\nurl = \"{}\"\n{files}", server.url())
}

fn once(mut callback: Value) -> Value {
    callback["options"] = json!({"max_attempts": 1});
    callback
}

fn to_callee(no: &str) -> Value {
    let mut body = once(callback(""));
    body.as_object_mut().unwrap().remove("callback_url");
    body["callee_no"] = json!(no);
    body
}

async fn delivered(server: &Server, id: &str) {
    eventually("the callback at its target", IN_TIME, async || {
        server.took(id).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_callee_is_trusted_by_its_own_authority_alone() {
    let temp = TempDirectory::new("tls");
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let ca = ours.write(temp.path(), "ours.crt");
    let other_ca = other.write(temp.path(), "other.crt");
    let good = Server::start(ours.issue(HOST).server(None)).await;
    let elsewhere = Server::start(ours.issue("elsewhere.test").server(None)).await;
    let old = Server::start(ours.issue_expired(HOST).server(None)).await;
    let young = Server::start(ours.issue_not_yet_valid(HOST).server(None)).await;
    let nobody = Server::start(Certificate::self_signed(HOST).server(None)).await;
    let unknown = Server::start(ours.issue(HOST).server(None)).await;
    let callees = [
        section("GOOD", &good, &[("ca_file", &ca)]),
        section("PLAIN", &unknown, &[]),
        section("OTHER", &unknown, &[("ca_file", &other_ca)]),
        section("ELSEWHERE", &elsewhere, &[("ca_file", &ca)]),
        section("OLD", &old, &[("ca_file", &ca)]),
        section("YOUNG", &young, &[("ca_file", &ca)]),
        section("NOBODY", &nobody, &[("ca_file", &ca)]),
    ];
    let fixture = fixture(&temp, &callees.concat()).await;
    let id = fixture.send(&to_callee("GOOD")).await;
    delivered(&good, &id).await;
    for no in ["PLAIN", "OTHER", "ELSEWHERE", "OLD", "YOUNG", "NOBODY"] {
        let id = fixture.send(&to_callee(no)).await;
        assert_eq!(fixture.dead_letter(&id).await.outcomes(), ["tls"], "{no}");
    }
    // A callee's authority does not apply to a caller's URL, not even to the same target.
    let before = good.bytes();
    let id = fixture.send(&once(callback(&good.url()))).await;
    assert_eq!(fixture.dead_letter(&id).await.outcomes(), ["tls"]);
    assert_eq!(good.bytes(), before);
    for server in [&elsewhere, &old, &young, &nobody, &unknown] {
        assert!(server.connections() > 0);
        assert_eq!(server.bytes(), 0, "nothing is said before trust");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_named_with_its_callee() {
    let temp = TempDirectory::new("tls");
    let ours = Authority::new("ours");
    let ca = ours.write(temp.path(), "ours.crt");
    let old = Server::start(ours.issue_expired(HOST).server(None)).await;
    let fixture = fixture(&temp, &section("OLD", &old, &[("ca_file", &ca)])).await;
    let id = fixture.send(&to_callee("OLD")).await;
    fixture.dead_letter(&id).await;
    let (passed, output) = doctor(&["--admin", &fixture.gateway.admin_url()]).await;
    assert!(!passed, "{output}");
    let line = "failure  certificates     127.0.0.1 (OLD) expired at \
                2020-01-01T00:00:00.000Z. Next: ask its owner to renew it";
    assert!(output.contains(line), "{output}");
    let series = "ringback_certificate_expiry_timestamp_seconds{host=\"127.0.0.1\"} 1577836800";
    eventually(
        "the end of the certificate in the metrics",
        Duration::from_secs(30),
        async || {
            let page = fixture.gateway.metrics(GatewayRole::Dispatcher(0)).await;
            page.lines().any(|line| line == series).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_tls_server_is_not_called_without_tls() {
    let temp = TempDirectory::new("tls");
    let fixture = fixture(&temp, "").await;
    let server = Server::start(Certificate::self_signed(HOST).server(None)).await;
    let url = server.url().replace("https:", "http:");
    let id = fixture.send(&once(callback(&url))).await;
    let letter = fixture.dead_letter(&id).await;
    let outcome = letter.outcomes()[0];
    // The server sees no hello and leaves; unread bytes may reset the connection.
    assert!(
        ["malformed_answer", "connection_reset"].contains(&outcome),
        "{outcome}"
    );
    assert_eq!((server.connections(), server.bytes()), (1, 0));
}

#[tokio::test]
async fn a_callee_that_requires_a_client_certificate_gets_its_own() {
    let temp = TempDirectory::new("tls");
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let ca = ours.write(temp.path(), "ours.crt");
    let [cert, key] = clients.issue("ringback").write(temp.path(), "us");
    let stranger = Authority::new("strangers").issue("ringback");
    let [strange, strange_key] = stranger.write(temp.path(), "stranger");
    let server = Server::start(ours.issue(HOST).server(Some(&clients))).await;
    let ca = ("ca_file", &*ca);
    let callees = [
        section(
            "SHOWN",
            &server,
            &[ca, ("cert_file", &cert), ("key_file", &key)],
        ),
        section("NONE", &server, &[ca]),
        section(
            "STRANGE",
            &server,
            &[ca, ("cert_file", &strange), ("key_file", &strange_key)],
        ),
    ];
    let fixture = fixture(&temp, &callees.concat()).await;
    let id = fixture.send(&to_callee("SHOWN")).await;
    delivered(&server, &id).await;
    // The pooled connection of one callee is not used for the others.
    for no in ["NONE", "STRANGE"] {
        let id = fixture.send(&to_callee(no)).await;
        let letter = fixture.dead_letter(&id).await;
        // In TLS 1.3 the server refuses when the request is already in transit: the reset may
        // overtake the alert.
        let outcome = letter.outcomes()[0];
        assert!(
            ["tls", "connection_reset"].contains(&outcome),
            "{no}: {outcome}"
        );
        assert!(!server.took(&id), "{no}");
    }
}

#[tokio::test]
async fn connections_survive_a_reload_with_the_same_certificates() {
    let temp = TempDirectory::new("tls");
    let ours = Authority::new("ours");
    let ca = ours.write(temp.path(), "ours.crt");
    let server = Server::start(ours.issue(HOST).server(None)).await;
    let callee = section("GOOD", &server, &[("ca_file", &ca)]);
    let mut fixture = fixture(&temp, &callee).await;
    let id = fixture.send(&to_callee("GOOD")).await;
    delivered(&server, &id).await;
    // A connection cannot be reused before its answer is read.
    let series = "ringback_attempts_total{outcome=\"delivered\",queue=\"first\"}";
    eventually("the end of the first attempt", IN_TIME, async || {
        (fixture.metric(GatewayRole::Dispatcher(0), series).await == 1).then_some(())
    })
    .await;
    let file = temp.path().join("settings.toml");
    fs::write(&file, format!("{callee}in_flight = 3\n")).unwrap();
    for instance in
        std::iter::once(&mut fixture.gateway.ingress).chain(&mut fixture.gateway.dispatchers)
    {
        instance.process.sighup();
    }
    let series = "ringback_config_reloads_total{result=\"success\"}";
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        eventually("the reload", IN_TIME, async || {
            (fixture.metric(role, series).await >= 1).then_some(())
        })
        .await;
    }
    let id = fixture.send(&to_callee("GOOD")).await;
    delivered(&server, &id).await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_tls_session_is_resumed_after_the_target_closes_a_connection() {
    let temp = TempDirectory::new("tls");
    let ours = Authority::new("ours");
    let ca = ours.write(temp.path(), "ours.crt");
    let server = Server::start_closing(ours.issue(HOST).server(None)).await;
    let fixture = fixture(&temp, &section("GOOD", &server, &[("ca_file", &ca)])).await;
    for met in 0..3 {
        let id = fixture.send(&to_callee("GOOD")).await;
        delivered(&server, &id).await;
        assert_eq!((server.connections(), server.resumed()), (met + 1, met));
    }
}

#[tokio::test]
async fn additional_roots_extend_the_systems_and_a_callees_own_replace_them() {
    let temp = TempDirectory::new("tls");
    let [ours, systems, own] = ["ours", "the system's", "its own"].map(Authority::new);
    let ca = ours.write(temp.path(), "ours.crt");
    let system_ca = systems.write(temp.path(), "system.crt");
    let own_ca = own.write(temp.path(), "own.crt");
    let inside = Server::start(ours.issue(HOST).server(None)).await;
    let public = Server::start(systems.issue(HOST).server(None)).await;
    let nobody = Server::start(Certificate::self_signed(HOST).server(None)).await;
    let file = temp.path().join("settings.toml");
    let callees = [
        format!("[dispatcher]\nca_file = \"{}\"\n", ca.display()),
        section("INSIDE", &inside, &[]),
        section("OWN", &inside, &[("ca_file", &own_ca)]),
    ];
    fs::write(&file, callees.concat()).unwrap();
    let fixture = SharedGateway::start(|_| {
        GatewayOptions::default()
            .with("RINGBACK_CONFIG", &file.display().to_string())
            .with("SSL_CERT_FILE", &system_ca.display().to_string())
    })
    .await;
    for server in [&inside, &public] {
        let id = fixture.send(&once(callback(&server.url()))).await;
        delivered(server, &id).await;
    }
    let id = fixture.send(&to_callee("INSIDE")).await;
    delivered(&inside, &id).await;
    let id = fixture.send(&to_callee("OWN")).await;
    assert_eq!(fixture.dead_letter(&id).await.outcomes(), ["tls"]);
    let id = fixture.send(&once(callback(&nobody.url()))).await;
    assert_eq!(fixture.dead_letter(&id).await.outcomes(), ["tls"]);
    assert_eq!(nobody.bytes(), 0);
}
