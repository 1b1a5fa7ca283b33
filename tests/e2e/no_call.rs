//! How does an attempt end that never becomes a call? There is no way in, or no common language:
//! in any case nothing is tried in its stead.

use serde_json::{Value, json};
use tests::{Blunt, Callee, Full, GatewayOptions, World, callback, together};

/// A server's hello in this version (RFC 5246, 7.4.1.3), with a suite that was usual then.
fn hello(version: u8) -> Vec<u8> {
    let mut body = vec![3, version];
    body.extend([7; 32]); // Its random bytes.
    body.extend([0, 0xc0, 0x14, 0]); // No session; ECDHE_RSA_WITH_AES_256_CBC_SHA; no compression.
    let mut record = vec![0x16, 3, version, 0, 4 + 38, 2, 0, 0, 38];
    assert_eq!(body.len(), 38);
    record.append(&mut body);
    record
}

/// A fatal alert (RFC 8446, 6).
fn alert(description: u8) -> Vec<u8> {
    vec![0x15, 3, 1, 0, 2, 2, description]
}

fn once(url: &str) -> Value {
    let mut callback = callback(url);
    callback["options"] = json!({ "max_attempts": 1 });
    callback
}

#[test]
fn a_server_without_tls_behind_an_https_url_is_not_spoken_to_plainly() {
    together(async {
        let world = crate::shared::shared().await;
        let plain = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        for (what, answer) in [
            ("plain HTTP", plain.as_bytes().to_vec()),
            ("TLS 1.1", hello(2)),
            ("TLS 1.0", hello(1)),
            ("SSL 3.0", hello(0)),
            ("an alert: the version", alert(70)),
            ("an alert: the handshake", alert(40)),
        ] {
            let target = Blunt::start(answer).await;
            let url = format!("https://{}/", target.address());
            let id = world.send(&once(&url)).await;
            let letter = world.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["tls"], "{what}");
            let heard = target.heard();
            assert_eq!(heard.len(), 1, "{what}: one try");
            assert!(heard[0].starts_with(&[0x16, 3]), "{what}: a TLS hello");
            let said = String::from_utf8_lossy(&heard[0]);
            assert!(!said.contains("POST") && !said.contains(&id), "{what}");
        }
    });
}

#[test]
fn a_server_of_tls_behind_an_http_url_is_asked_once_and_plainly() {
    together(async {
        let world = crate::shared::shared().await;
        // What such servers say to a plain request: an unexpected message, a hello of no version.
        for description in [10, 70] {
            let target = Blunt::start(alert(description)).await;
            let url = format!("http://{}/", target.address());
            let id = world.send(&once(&url)).await;
            let letter = world.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["malformed_answer"], "{description}");
            let heard = target.heard();
            assert_eq!(heard.len(), 1, "{description}: one try");
            assert!(heard[0].starts_with(b"POST / HTTP/1.1\r\n"));
        }
    });
}

#[test]
fn a_host_that_lets_nobody_in_is_given_up_at_the_time_to_connect() {
    together(async {
        let world = World::start(|_: &Callee| {
            let options = GatewayOptions::default();
            options.with("RINGBACK__DISPATCHER__CONNECT_TIMEOUT", "1s")
        })
        .await;
        let world = world.visit();
        let target = Full::start().await;
        let id = world
            .send(&once(&format!("http://{}/", target.address())))
            .await;
        let letter = world.dead_letter(&id).await;
        assert_eq!(letter.outcomes(), ["connect_timeout"]);
        let took = letter.message.history[0].duration_ms;
        // An attempt may take 15 s.
        assert!((1_000..12_000).contains(&took), "{took} ms");
        let id = world.send(&world.callback("/ok")).await;
        world.received(&id, 1).await;
    });
}
