//! Signatures by Standard Webhooks, verified by the standard's own libraries.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ringback::practice_callee::ReceivedRequest;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tests::cleanup::TempDirectory;
use tests::{
    GatewayOptions, GatewayRole, SharedGateway, SharedGatewayUse, callback, eventually,
    on_shared_runtime,
};
use tokio::sync::OnceCell;

const IN_TIME: Duration = Duration::from_secs(60);
const SHOP: &str = "whsec_c2hvcC1zaG9wLXNob3Atc2hvcC1zaG9wLXNob3A=";
const BANK: &str = "whsec_YmFuay1iYW5rLWJhbmstYmFuay1iYW5rLWJhbms=";
const BANK_BEFORE: &str = "whsec_YmVmb3JlLWJlZm9yZS1iZWZvcmUtYmVmb3Jl";
const CALLEE: &str = "whsec_Y2FsbGVlLWNhbGxlZS1jYWxsZWUtY2FsbGVlLWE=";
const NOBODY: &str = "whsec_bm9ib2R5LW5vYm9keS1ub2JvZHktbm9ib2R5LWE=";

struct Signed {
    fixture: SharedGateway,
    temp: TempDirectory,
}

/// `shop` signs with a secret from a file, `bank` with two secrets; `EO001` has a secret of its
/// own, `EO002` has none.
async fn start() -> Signed {
    let temp = TempDirectory::new("signing");
    let fixture = SharedGateway::start(|callee| {
        let file = |name: &str, content: &str| {
            let path = temp.path().join(name);
            fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        let shop = file("shop", &format!("{SHOP}\n"));
        let settings = format!(
            "[apps.shop]\nsigning_secrets = [\"file:{shop}\"]\n\
             [apps.bank]\nsigning_secrets = [\"{BANK}\", \"env:BANK_BEFORE\"]\n\
             [callees.EO001]\nurl = \"{}\"\nsigning_secrets = [\"{CALLEE}\"]\n\
             [callees.EO002]\nurl = \"{}\"\n",
            callee.url("/ok/eo001"),
            callee.url("/ok/eo002")
        );
        let settings = file("settings.toml", &settings);
        GatewayOptions::default()
            .with("RINGBACK_CONFIG", &settings)
            .with("BANK_BEFORE", BANK_BEFORE)
    });
    let fixture = fixture.await;
    Signed { fixture, temp }
}

async fn signed() -> SharedGatewayUse<'static> {
    static SIGNED: OnceCell<Signed> = OnceCell::const_new();
    SIGNED.get_or_init(start).await.fixture.in_test()
}

fn from(app: &str, mut callback: Value) -> Value {
    callback["app_id"] = json!(app);
    callback["request_message"] = json!({"甲": "乙", "n": 1});
    callback
}

fn to_callee(app: &str, no: &str) -> Value {
    let mut callback = from(app, callback(""));
    callback.as_object_mut().unwrap().remove("callback_url");
    callback["callee_no"] = json!(no);
    callback
}

fn headers(received: &ReceivedRequest) -> HeaderMap {
    let pairs = received.headers.iter().map(|(name, value)| {
        let name = HeaderName::try_from(name).unwrap();
        (name, HeaderValue::try_from(value).unwrap())
    });
    pairs.collect()
}

/// Whether the library accepts the request as signed with this secret.
fn is_by(secret: &str, received: &ReceivedRequest) -> bool {
    let library = Webhook::new(secret).unwrap();
    library
        .verify(received.body.as_bytes(), &headers(received))
        .is_ok()
}

/// Which of the secrets signed the request.
fn signers(received: &ReceivedRequest) -> Vec<&'static str> {
    let all = [SHOP, BANK, BANK_BEFORE, CALLEE, NOBODY];
    all.into_iter().filter(|it| is_by(it, received)).collect()
}

async fn one(fixture: &SharedGateway, callback: &Value) -> Arc<ReceivedRequest> {
    let id = fixture.send(callback).await;
    let mut received = fixture.received(&id, 1).await;
    received.remove(0)
}

#[test]
fn an_apps_callbacks_are_signed_with_its_secrets_alone() {
    on_shared_runtime(async {
        let fixture = signed().await;
        for (app, expected) in [
            ("shop", &[SHOP][..]),
            ("bank", &[BANK, BANK_BEFORE]),
            ("Shop", &[]),
            ("other", &[]),
        ] {
            let received = one(&fixture, &from(app, fixture.callback("/ok"))).await;
            assert_eq!(signers(&received), expected, "{app}");
            let signature = received.headers.get("webhook-signature");
            let count = signature.map_or(0, |it| it.split(' ').count());
            assert_eq!(count, expected.len(), "{signature:?}");
        }
    });
}

#[test]
fn a_callees_own_secret_replaces_the_apps() {
    on_shared_runtime(async {
        let fixture = signed().await;
        let received = one(&fixture, &to_callee("shop", "EO001")).await;
        assert_eq!(signers(&received), [CALLEE]);
        let received = one(&fixture, &to_callee("nobody", "EO001")).await;
        assert_eq!(signers(&received), [CALLEE]);
        let received = one(&fixture, &to_callee("shop", "EO002")).await;
        assert_eq!(signers(&received), [SHOP]);
        // With a URL the callee's number is only a label: a host chosen by the caller must not see
        // a signature that the callee trusts.
        let mut by_url = from("shop", fixture.callback("/ok"));
        by_url["callee_no"] = json!("EO001");
        let received = one(&fixture, &by_url).await;
        assert_eq!(signers(&received), [SHOP]);
        by_url["app_id"] = json!("nobody");
        let received = one(&fixture, &by_url).await;
        assert!(!received.headers.contains_key("webhook-signature"));
    });
}

#[test]
fn a_retry_has_the_same_id_and_a_new_time_and_signature() {
    on_shared_runtime(async {
        let fixture = signed().await;
        let id = fixture
            .send(&from("shop", fixture.callback("/flaky/2")))
            .await;
        let received = fixture.received(&id, 3).await;
        let of = |name: &str| -> Vec<&str> {
            let values = received.iter().map(|it| &*it.headers[name]);
            values.collect()
        };
        assert_eq!(of("webhook-id"), [&*id; 3]);
        let times: Vec<u64> = of("webhook-timestamp")
            .iter()
            .map(|it| it.parse().unwrap())
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(times.windows(2).all(|it| it[0] < it[1]), "{times:?}");
        assert!(now.as_secs().abs_diff(times[2]) < 60, "{times:?}");
        let signatures = of("webhook-signature");
        assert_ne!(signatures[0], signatures[1]);
        assert_ne!(signatures[1], signatures[2]);
        for one in &received {
            assert_eq!(signers(one), [SHOP]);
        }
    });
}

#[test]
fn one_changed_bit_of_id_time_or_body_is_detected() {
    on_shared_runtime(async {
        let fixture = signed().await;
        let received = one(&fixture, &from("shop", fixture.callback("/ok"))).await;
        let library = Webhook::new(SHOP).unwrap();
        let verified = |body: &[u8], headers: &HeaderMap| library.verify(body, headers).is_ok();
        let (body, good) = (received.body.as_bytes(), headers(&received));
        assert!(verified(body, &good));
        let mut other = body.to_vec();
        let place = other.len() / 2;
        other[place] ^= 1;
        assert!(!verified(&other, &good));
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut other = good.clone();
            let mut value = good[name].as_bytes().to_vec();
            let place = value.len() - 2;
            value[place] ^= 1;
            other.insert(name, HeaderValue::from_bytes(&value).unwrap());
            assert!(!verified(body, &other), "{name}");
        }
    });
}

#[test]
fn the_python_library_verifies_the_signatures() {
    on_shared_runtime(async {
        let fixture = signed().await;
        let shop = one(&fixture, &from("shop", fixture.callback("/ok"))).await;
        let bank = one(&fixture, &from("bank", fixture.callback("/ok"))).await;
        let none = one(&fixture, &from("other", fixture.callback("/ok"))).await;
        let asked = [
            (&shop, SHOP, true),
            (&shop, BANK, false),
            (&bank, BANK, true),
            (&bank, BANK_BEFORE, true),
            (&bank, NOBODY, false),
            (&none, SHOP, false),
        ];
        let lines = asked.iter().map(|(received, secret, _)| {
            let body = str::from_utf8(received.body.as_bytes()).unwrap();
            json!({"secret": secret, "headers": received.headers, "body": body}).to_string()
        });
        let lines = lines.collect::<Vec<_>>().join("\n");
        let answered = tokio::task::spawn_blocking(move || python(&lines));
        let answered = answered.await.unwrap();
        let good: Vec<bool> = answered.lines().map(|line| line == "good").collect();
        let expected: Vec<bool> = asked.iter().map(|(_, _, good)| *good).collect();
        assert_eq!(good, expected, "{answered}");
    });
}

/// The output of the script for these lines.
fn python(lines: &str) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut script = Command::new(here.join("python"))
        .arg(here.join("e2e/delivery/signing/verify.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = script.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = script.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn secrets_are_changed_in_a_running_gateway_without_an_unsigned_call() {
    let Signed { fixture, temp } = start().await;
    let file = temp.path().join("shop");
    // A file with a secret is watched like the settings file.
    fs::write(&file, NOBODY).unwrap();
    let series = "ringback_config_reloads_total{result=\"success\"}";
    eventually("the new secret", IN_TIME, async || {
        let taken = fixture.metric(GatewayRole::Dispatcher(0), series).await;
        let received = one(&fixture, &from("shop", fixture.callback("/ok"))).await;
        match &*signers(&received) {
            [NOBODY] => Ok(()),
            [SHOP] => Err(format!("the old one, after {taken} reloads")),
            other => panic!("signed by {other:?}"),
        }
    })
    .await;
    // An invalid secret changes nothing.
    fs::write(&file, "whsec_short").unwrap();
    let refused = "ringback_config_reloads_total{result=\"failure\"}";
    eventually("a refused reload", IN_TIME, async || {
        let refused = fixture.metric(GatewayRole::Dispatcher(0), refused).await;
        (refused > 0).then_some(())
    })
    .await;
    let received = one(&fixture, &from("shop", fixture.callback("/ok"))).await;
    assert_eq!(signers(&received), [NOBODY]);
}
