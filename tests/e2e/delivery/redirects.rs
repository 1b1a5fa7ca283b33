//! Redirects are never followed, for a caller's URL or a registered callee.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use tests::cleanup::TempDirectory;
use tests::{GatewayOptions, SharedGateway, Step, TestTarget, callback};

/// Each redirect that a client may follow automatically (RFC 9110, 15.4), with every form of
/// location. A relative one leads back to the target, which counts its requests.
fn all(forbidden: &TestTarget) -> BTreeMap<String, TestTarget> {
    let port = forbidden.address().port();
    let places = [
        ("address", format!("http://127.0.0.1:{port}/")),
        ("name", format!("http://localhost:{port}/")),
        ("schemeless", format!("//127.0.0.1:{port}/")),
        ("relative", "/elsewhere".to_owned()),
    ];
    let mut targets = BTreeMap::new();
    for status in [301, 302, 303, 307, 308] {
        for (place, location) in &places {
            let answer = format!(
                "HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
            );
            let target = TestTarget::raw(Step::answer(answer));
            targets.insert(format!("R{status}-{place}"), target);
        }
    }
    targets
}

fn to_callee(no: &str) -> Value {
    let mut body = callback("");
    body.as_object_mut().unwrap().remove("callback_url");
    body["callee_no"] = json!(no);
    body
}

#[tokio::test]
async fn no_redirect_is_followed_from_a_callers_url_nor_from_a_callee_with_credentials() {
    let temp = TempDirectory::new("redirects");
    let file = temp.path().join("settings.toml");
    let forbidden = TestTarget::silent();
    let targets = all(&forbidden);
    let callees = targets.iter().map(|(no, target)| {
        format!(
            "[callees.{no}]\nurl = \"http://{}/\"\nauth = \"bearer\"\n\
             secret = \"env:TEST_REDIRECT_SECRET\"\nheaders = {{ \"x-key\" = \"open sesame\" }}\n",
            target.address()
        )
    });
    fs::write(&file, callees.collect::<String>()).unwrap();
    let fixture = SharedGateway::start(|_| {
        let options = GatewayOptions {
            allow: "127.0.0.0/8,localhost".to_owned(),
            ..GatewayOptions::default()
        };
        options
            .with("RINGBACK_CONFIG", &file.display().to_string())
            .with("TEST_REDIRECT_SECRET", "hush")
    })
    .await;
    for (no, target) in &targets {
        let by_url = callback(&target.url());
        for body in [by_url, to_callee(no)] {
            let id = fixture.send(&body).await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["answered_3xx"], "{no}");
        }
        assert_eq!(target.request_count(), 2, "{no}: one request an attempt");
    }
    assert_eq!(forbidden.contacts(), (0, 0));
}
