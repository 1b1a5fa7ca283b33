//! Whom does the gateway trust, and how does it show who it is, where the call is HTTPS?

mod server;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::nest::Nest;
use tests::papers::{Authority, Papers};
use tests::{GatewayOptions, Role, World, callback, eventually};

use server::Server;

const IN_TIME: Duration = Duration::from_secs(60);
const HOST: &str = "127.0.0.1";

async fn world(nest: &Nest, callees: &str) -> World {
    let file = nest.directory().join("settings.toml");
    fs::write(&file, callees).unwrap();
    World::start(|_| GatewayOptions::default().with("RINGBACK_CONFIG", &file.display().to_string()))
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

async fn taken(server: &Server, id: &str) {
    eventually("the callback at its target", IN_TIME, async || {
        server.took(id).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_callee_is_trusted_by_its_own_authority_alone() {
    let nest = Nest::new("tls");
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let ca = ours.write(nest.directory(), "ours.crt");
    let other_ca = other.write(nest.directory(), "other.crt");
    let good = Server::start(ours.papers(HOST).server(None)).await;
    let elsewhere = Server::start(ours.papers("elsewhere.test").server(None)).await;
    let old = Server::start(ours.old_papers(HOST).server(None)).await;
    let young = Server::start(ours.young_papers(HOST).server(None)).await;
    let nobody = Server::start(Papers::of_nobody(HOST).server(None)).await;
    let unknown = Server::start(ours.papers(HOST).server(None)).await;
    let callees = [
        section("GOOD", &good, &[("ca_file", &ca)]),
        section("PLAIN", &unknown, &[]),
        section("OTHER", &unknown, &[("ca_file", &other_ca)]),
        section("ELSEWHERE", &elsewhere, &[("ca_file", &ca)]),
        section("OLD", &old, &[("ca_file", &ca)]),
        section("YOUNG", &young, &[("ca_file", &ca)]),
        section("NOBODY", &nobody, &[("ca_file", &ca)]),
    ];
    let world = world(&nest, &callees.concat()).await;
    let id = world.send(&to_callee("GOOD")).await;
    taken(&good, &id).await;
    for no in ["PLAIN", "OTHER", "ELSEWHERE", "OLD", "YOUNG", "NOBODY"] {
        let id = world.send(&to_callee(no)).await;
        assert_eq!(world.dead_letter(&id).await.outcomes(), ["tls"], "{no}");
    }
    // What a callee trusts is no word for a caller's URL, not even to the same place.
    let before = good.bytes();
    let id = world.send(&once(callback(&good.url()))).await;
    assert_eq!(world.dead_letter(&id).await.outcomes(), ["tls"]);
    assert_eq!(good.bytes(), before);
    for server in [&elsewhere, &old, &young, &nobody, &unknown] {
        assert!(server.connections() > 0);
        assert_eq!(server.bytes(), 0, "nothing is said before trust");
    }
}

#[tokio::test]
async fn a_server_of_tls_is_not_called_by_its_other_name() {
    let nest = Nest::new("tls");
    let world = world(&nest, "").await;
    let server = Server::start(Papers::of_nobody(HOST).server(None)).await;
    let url = server.url().replace("https:", "http:");
    let id = world.send(&once(callback(&url))).await;
    let letter = world.dead_letter(&id).await;
    let outcome = letter.outcomes()[0];
    // It says that this is no hello and leaves; what it has not read may reset the connection.
    assert!(
        ["malformed_answer", "connection_reset"].contains(&outcome),
        "{outcome}"
    );
    assert_eq!((server.connections(), server.bytes()), (1, 0));
}

#[tokio::test]
async fn a_callee_that_asks_for_a_certificate_is_shown_its_own() {
    let nest = Nest::new("tls");
    let (ours, visitors) = (Authority::new("ours"), Authority::new("visitors"));
    let ca = ours.write(nest.directory(), "ours.crt");
    let [cert, key] = visitors.papers("ringback").write(nest.directory(), "us");
    let stranger = Authority::new("strangers").papers("ringback");
    let [strange, strange_key] = stranger.write(nest.directory(), "stranger");
    let server = Server::start(ours.papers(HOST).server(Some(&visitors))).await;
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
    let world = world(&nest, &callees.concat()).await;
    let id = world.send(&to_callee("SHOWN")).await;
    taken(&server, &id).await;
    // The pooled connection of the one is no way in for the others.
    for no in ["NONE", "STRANGE"] {
        let id = world.send(&to_callee(no)).await;
        let letter = world.dead_letter(&id).await;
        // In TLS 1.3 the server says no when the request is on its way: the reset of the connection
        // may overtake the alert.
        let outcome = letter.outcomes()[0];
        assert!(
            ["tls", "connection_reset"].contains(&outcome),
            "{no}: {outcome}"
        );
        assert!(!server.took(&id), "{no}");
    }
}

#[tokio::test]
async fn connections_outlive_a_reload_that_leaves_their_certificates_alone() {
    let nest = Nest::new("tls");
    let ours = Authority::new("ours");
    let ca = ours.write(nest.directory(), "ours.crt");
    let server = Server::start(ours.papers(HOST).server(None)).await;
    let callee = section("GOOD", &server, &[("ca_file", &ca)]);
    let mut world = world(&nest, &callee).await;
    let id = world.send(&to_callee("GOOD")).await;
    taken(&server, &id).await;
    // A connection whose answer is not read yet cannot be used for the next.
    let series = "ringback_attempts_total{outcome=\"delivered\",lane=\"first\"}";
    eventually("the end of the first attempt", IN_TIME, async || {
        (world.metric(Role::Dispatcher(0), series).await == 1).then_some(())
    })
    .await;
    let file = nest.directory().join("settings.toml");
    fs::write(&file, format!("{callee}in_flight = 3\n")).unwrap();
    for door in std::iter::once(&mut world.gateway.ingress).chain(&mut world.gateway.dispatchers) {
        door.process.sighup();
    }
    let series = "ringback_settings_reloads_total{result=\"taken\"}";
    for role in [Role::Ingress, Role::Dispatcher(0)] {
        eventually("the reload", IN_TIME, async || {
            (world.metric(role, series).await >= 1).then_some(())
        })
        .await;
    }
    let id = world.send(&to_callee("GOOD")).await;
    taken(&server, &id).await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_target_that_closes_its_connections_is_met_again_with_the_session_of_before() {
    let nest = Nest::new("tls");
    let ours = Authority::new("ours");
    let ca = ours.write(nest.directory(), "ours.crt");
    let server = Server::start_closing(ours.papers(HOST).server(None)).await;
    let world = world(&nest, &section("GOOD", &server, &[("ca_file", &ca)])).await;
    for met in 0..3 {
        let id = world.send(&to_callee("GOOD")).await;
        taken(&server, &id).await;
        assert_eq!((server.connections(), server.resumed()), (met + 1, met));
    }
}

#[tokio::test]
async fn roots_for_all_are_trusted_beside_the_systems_and_not_where_a_callee_names_its_own() {
    let nest = Nest::new("tls");
    let [ours, systems, own] = ["ours", "the system's", "its own"].map(Authority::new);
    let ca = ours.write(nest.directory(), "ours.crt");
    let system_ca = systems.write(nest.directory(), "system.crt");
    let own_ca = own.write(nest.directory(), "own.crt");
    let inside = Server::start(ours.papers(HOST).server(None)).await;
    let public = Server::start(systems.papers(HOST).server(None)).await;
    let nobody = Server::start(Papers::of_nobody(HOST).server(None)).await;
    let file = nest.directory().join("settings.toml");
    let callees = [
        format!("[dispatcher]\nca_file = \"{}\"\n", ca.display()),
        section("INSIDE", &inside, &[]),
        section("OWN", &inside, &[("ca_file", &own_ca)]),
    ];
    fs::write(&file, callees.concat()).unwrap();
    let world = World::start(|_| {
        GatewayOptions::default()
            .with("RINGBACK_CONFIG", &file.display().to_string())
            .with("SSL_CERT_FILE", &system_ca.display().to_string())
    })
    .await;
    for server in [&inside, &public] {
        let id = world.send(&once(callback(&server.url()))).await;
        taken(server, &id).await;
    }
    let id = world.send(&to_callee("INSIDE")).await;
    taken(&inside, &id).await;
    let id = world.send(&to_callee("OWN")).await;
    assert_eq!(world.dead_letter(&id).await.outcomes(), ["tls"]);
    let id = world.send(&once(callback(&nobody.url()))).await;
    assert_eq!(world.dead_letter(&id).await.outcomes(), ["tls"]);
    assert_eq!(nobody.bytes(), 0);
}
