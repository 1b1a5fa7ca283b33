//! Is a target's word taken for where to go? Never, whoever has named the target.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use tests::nest::Nest;
use tests::{GatewayOptions, Trap, World, callback};

use crate::hostile_targets::sink::{Attack, Sink};

/// Each redirect that a client may follow by itself (RFC 9110, 15.4), with every way to write where
/// to. What is relative leads back to the target, which counts.
async fn all(trap: &Trap) -> BTreeMap<String, Sink> {
    let port = trap.address().port();
    let places = [
        ("address", format!("http://127.0.0.1:{port}/")),
        ("name", format!("http://localhost:{port}/")),
        ("schemeless", format!("//127.0.0.1:{port}/")),
        ("relative", "/elsewhere".to_owned()),
    ];
    let mut sinks = BTreeMap::new();
    for status in [301, 302, 303, 307, 308] {
        for (place, location) in &places {
            let answer = format!(
                "HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
            );
            let sink = Sink::start(|_| Attack::Says(answer.into_bytes())).await;
            sinks.insert(format!("R{status}-{place}"), sink);
        }
    }
    sinks
}

fn to_callee(no: &str) -> Value {
    let mut body = callback("");
    body.as_object_mut().unwrap().remove("callback_url");
    body["callee_no"] = json!(no);
    body
}

#[tokio::test]
async fn no_redirect_is_followed_from_a_callers_url_nor_from_a_callee_with_credentials() {
    let nest = Nest::new("redirects");
    let file = nest.directory().join("settings.toml");
    let trap = Trap::start().await;
    let sinks = all(&trap).await;
    let callees = sinks.iter().map(|(no, sink)| {
        format!(
            "[callees.{no}]\nurl = \"http://{}/\"\nauth = \"bearer\"\n\
             secret = \"env:TEST_REDIRECT_SECRET\"\nheaders = {{ \"x-key\" = \"open sesame\" }}\n",
            sink.address
        )
    });
    fs::write(&file, callees.collect::<String>()).unwrap();
    let world = World::start(|_| {
        let options = GatewayOptions {
            allow: "127.0.0.0/8,localhost".to_owned(),
            ..GatewayOptions::default()
        };
        options
            .with("RINGBACK_CONFIG", &file.display().to_string())
            .with("TEST_REDIRECT_SECRET", "hush")
    })
    .await;
    for (no, sink) in &sinks {
        let by_url = callback(&format!("http://{}/", sink.address));
        for body in [by_url, to_callee(no)] {
            let id = world.send(&body).await;
            let letter = world.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["answered_3xx"], "{no}");
        }
        assert_eq!(sink.requests(), 2, "{no}: one request an attempt");
    }
    assert_eq!(trap.caught(), (0, 0));
}
