//! Does a target know that a call is the gateway's, and whose callback it brings? Judged by the
//! standard's own libraries.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ringback::callee::Received;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tests::nest::Nest;
use tests::{GatewayOptions, Role, Visit, World, callback, eventually, together};
use tokio::sync::OnceCell;

const IN_TIME: Duration = Duration::from_secs(60);
const SHOP: &str = "whsec_c2hvcC1zaG9wLXNob3Atc2hvcC1zaG9wLXNob3A=";
const BANK: &str = "whsec_YmFuay1iYW5rLWJhbmstYmFuay1iYW5rLWJhbms=";
const BANK_BEFORE: &str = "whsec_YmVmb3JlLWJlZm9yZS1iZWZvcmUtYmVmb3Jl";
const CALLEE: &str = "whsec_Y2FsbGVlLWNhbGxlZS1jYWxsZWUtY2FsbGVlLWE=";
const NOBODY: &str = "whsec_bm9ib2R5LW5vYm9keS1ub2JvZHktbm9ib2R5LWE=";

struct Signed {
    world: World,
    nest: Nest,
}

/// `shop` and `bank` sign, the one by a file and the other by two secrets at a time; `EO001` has a
/// secret of its own, `EO002` has none.
async fn start() -> Signed {
    let nest = Nest::new("signing");
    let world = World::start(|callee| {
        let file = |name: &str, content: &str| {
            let path = nest.directory().join(name);
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
    let world = world.await;
    Signed { world, nest }
}

async fn signed() -> Visit<'static> {
    static SIGNED: OnceCell<Signed> = OnceCell::const_new();
    SIGNED.get_or_init(start).await.world.visit()
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

fn headers(received: &Received) -> HeaderMap {
    let pairs = received.headers.iter().map(|(name, value)| {
        let name = HeaderName::try_from(name).unwrap();
        (name, HeaderValue::try_from(value).unwrap())
    });
    pairs.collect()
}

/// Whether the library takes the request as one that was signed with this secret.
fn is_by(secret: &str, received: &Received) -> bool {
    let library = Webhook::new(secret).unwrap();
    library
        .verify(received.body.as_bytes(), &headers(received))
        .is_ok()
}

/// Which of the secrets signed the request.
fn signers(received: &Received) -> Vec<&'static str> {
    let all = [SHOP, BANK, BANK_BEFORE, CALLEE, NOBODY];
    all.into_iter().filter(|it| is_by(it, received)).collect()
}

async fn one(world: &World, callback: &Value) -> Arc<Received> {
    let id = world.send(callback).await;
    let mut received = world.received(&id, 1).await;
    received.remove(0)
}

#[test]
fn an_apps_callbacks_are_signed_with_its_secrets_and_nobody_elses() {
    together(async {
        let world = signed().await;
        for (app, expected) in [
            ("shop", &[SHOP][..]),
            ("bank", &[BANK, BANK_BEFORE]),
            ("Shop", &[]),
            ("other", &[]),
        ] {
            let received = one(&world, &from(app, world.callback("/ok"))).await;
            assert_eq!(signers(&received), expected, "{app}");
            let signature = received.headers.get("webhook-signature");
            let count = signature.map_or(0, |it| it.split(' ').count());
            assert_eq!(count, expected.len(), "{signature:?}");
        }
    });
}

#[test]
fn a_callees_own_secret_signs_in_the_place_of_the_apps() {
    together(async {
        let world = signed().await;
        let received = one(&world, &to_callee("shop", "EO001")).await;
        assert_eq!(signers(&received), [CALLEE]);
        let received = one(&world, &to_callee("nobody", "EO001")).await;
        assert_eq!(signers(&received), [CALLEE]);
        let received = one(&world, &to_callee("shop", "EO002")).await;
        assert_eq!(signers(&received), [SHOP]);
        // Beside a URL a callee's number is only a label: a host that the caller chose must not see
        // what the callee trusts.
        let mut by_url = from("shop", world.callback("/ok"));
        by_url["callee_no"] = json!("EO001");
        let received = one(&world, &by_url).await;
        assert_eq!(signers(&received), [SHOP]);
        by_url["app_id"] = json!("nobody");
        let received = one(&world, &by_url).await;
        assert!(!received.headers.contains_key("webhook-signature"));
    });
}

#[test]
fn a_repeat_bears_the_same_id_and_a_time_and_signature_of_its_own() {
    together(async {
        let world = signed().await;
        let id = world.send(&from("shop", world.callback("/flaky/2"))).await;
        let received = world.received(&id, 3).await;
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
fn one_changed_bit_of_id_time_or_body_is_seen() {
    together(async {
        let world = signed().await;
        let received = one(&world, &from("shop", world.callback("/ok"))).await;
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
fn the_python_library_takes_what_is_signed_too() {
    together(async {
        let world = signed().await;
        let shop = one(&world, &from("shop", world.callback("/ok"))).await;
        let bank = one(&world, &from("bank", world.callback("/ok"))).await;
        let none = one(&world, &from("other", world.callback("/ok"))).await;
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

/// What the script says of these lines.
fn python(lines: &str) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut script = Command::new(here.join("python"))
        .arg(here.join("e2e/signing/verify.py"))
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
    let Signed { world, nest } = start().await;
    let file = nest.directory().join("shop");
    // The file that a secret stands in counts as settings.
    fs::write(&file, NOBODY).unwrap();
    let series = "ringback_settings_reloads_total{result=\"taken\"}";
    eventually("the new secret", IN_TIME, async || {
        let taken = world.metric(Role::Dispatcher(0), series).await;
        let received = one(&world, &from("shop", world.callback("/ok"))).await;
        match &*signers(&received) {
            [NOBODY] => Ok(()),
            [SHOP] => Err(format!("the old one, after {taken} reloads")),
            other => panic!("signed by {other:?}"),
        }
    })
    .await;
    // What is no secret changes nothing.
    fs::write(&file, "whsec_short").unwrap();
    let refused = "ringback_settings_reloads_total{result=\"refused\"}";
    eventually("a refused reload", IN_TIME, async || {
        let refused = world.metric(Role::Dispatcher(0), refused).await;
        (refused > 0).then_some(())
    })
    .await;
    let received = one(&world, &from("shop", world.callback("/ok"))).await;
    assert_eq!(signers(&received), [NOBODY]);
}
