//! Attempts that end before a request is sent: no connection, or no common protocol. Nothing else
//! is tried instead.

use serde_json::{Value, json};
use tests::{
    Callee, GatewayOptions, SharedGateway, Step, TestTarget, UnreachableHost, callback,
    on_shared_runtime,
};

/// A ServerHello of this version (RFC 5246, 7.4.1.3), with a cipher suite of that time.
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
fn a_server_without_tls_behind_an_https_url_gets_no_plain_request() {
    on_shared_runtime(async {
        let fixture = crate::fixtures::shared().await;
        let plain = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        for (what, answer) in [
            ("plain HTTP", plain.as_bytes().to_vec()),
            ("TLS 1.1", hello(2)),
            ("TLS 1.0", hello(1)),
            ("SSL 3.0", hello(0)),
            ("an alert: the version", alert(70)),
            ("an alert: the handshake", alert(40)),
        ] {
            let target = TestTarget::raw(Step::other_protocol(answer));
            let url = format!("https://{}/", target.address());
            let id = fixture.send(&once(&url)).await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["tls"], "{what}");
            let received = target.received();
            assert_eq!(received.len(), 1, "{what}: one try");
            assert!(received[0].starts_with(&[0x16, 3]), "{what}: a TLS hello");
            let text = String::from_utf8_lossy(&received[0]);
            assert!(!text.contains("POST") && !text.contains(&id), "{what}");
        }
    });
}

#[test]
fn a_tls_server_behind_an_http_url_is_called_once_without_tls() {
    on_shared_runtime(async {
        let fixture = crate::fixtures::shared().await;
        // Answers of such servers to a plain request: unexpected_message, protocol_version.
        for description in [10, 70] {
            let target = TestTarget::raw(Step::other_protocol(alert(description)));
            let url = format!("http://{}/", target.address());
            let id = fixture.send(&once(&url)).await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), ["malformed_answer"], "{description}");
            let received = target.received();
            assert_eq!(received.len(), 1, "{description}: one try");
            assert!(received[0].starts_with(b"POST / HTTP/1.1\r\n"));
        }
    });
}

#[test]
fn an_unreachable_host_is_given_up_at_the_connect_timeout() {
    on_shared_runtime(async {
        let fixture = SharedGateway::start(|_: &Callee| {
            let options = GatewayOptions::default();
            options.with("RINGBACK__DISPATCHER__CONNECT_TIMEOUT", "1s")
        })
        .await;
        let fixture = fixture.in_test();
        let target = UnreachableHost::start().await;
        let id = fixture
            .send(&once(&format!("http://{}/", target.address())))
            .await;
        let letter = fixture.dead_letter(&id).await;
        assert_eq!(letter.outcomes(), ["connect_timeout"]);
        let took = letter.message.history[0].duration_ms;
        // An attempt may take 15 s.
        assert!((1_000..12_000).contains(&took), "{took} ms");
        let id = fixture.send(&fixture.callback("/ok")).await;
        fixture.received(&id, 1).await;
    });
}
