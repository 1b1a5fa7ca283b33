//! Authentication of callers, and what each app may see.
//!
//! - `indistinguishable_errors.rs`: what errors must not reveal
//! - `tenant_isolation.rs`: an app at its limits does not affect others

mod indistinguishable_errors;
mod tenant_isolation;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tests::gateway::GatewayResponse;
use tests::{Callee, GatewayOptions, Process, SharedGateway, eventually, http, on_shared_runtime};

const KEY_A: &str = "rbk_canary-of-a-0123456789abcdef";
const KEY_A2: &str = "rbk_canary-of-a-second-89abcdef";
const KEY_B: &str = "rbk_canary-of-b-0123456789abcdef";
const SECRET: [u8; 32] = [0xC7; 32];
const PATH: &str = "/api/callback";

fn hash(key: &str) -> String {
    let digits = Sha256::digest(key.as_bytes());
    let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn whsec(secret: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

async fn fixture(mode: &str, more: &[(&str, &str)]) -> SharedGateway {
    SharedGateway::start(|_: &Callee| {
        let options = GatewayOptions::default().with_journal();
        let two = format!("{},{}", hash(KEY_A), hash(KEY_A2));
        let options = options
            .with_ingress("RINGBACK__AUTH__MODE", mode)
            .with_ingress("RINGBACK__LOG__LEVEL", "trace")
            .with_ingress("RINGBACK__APPS__AppA__KEYS", &two)
            .with_ingress("RINGBACK__APPS__B__KEYS", &hash(KEY_B))
            .with_ingress("RINGBACK__APPS__AppA__SECRETS", &whsec(&SECRET))
            .with_ingress("RINGBACK__APPS__B__SECRETS", &whsec(&[7; 32]));
        let add =
            |options: GatewayOptions, (key, value): &(&str, &str)| options.with_ingress(key, value);
        more.iter().fold(options, add)
    })
    .await
}

fn body(fixture: &SharedGateway, app: &str) -> String {
    let mut callback = fixture.callback("/ok");
    callback["app_id"] = Value::from(app);
    callback.to_string()
}

async fn ask(
    fixture: &SharedGateway,
    method: &str,
    path: &str,
    body: &str,
    headers: &[(String, String)],
) -> GatewayResponse {
    ask_with(&http::client(), fixture, method, path, body, headers).await
}

async fn ask_with(
    client: &reqwest::Client,
    fixture: &SharedGateway,
    method: &str,
    path: &str,
    body: &str,
    headers: &[(String, String)],
) -> GatewayResponse {
    let url = format!("http://{}{path}", fixture.gateway.ingress.address);
    let method = method.parse().unwrap();
    let mut request = client.request(method, url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    GatewayResponse {
        status,
        headers,
        body,
    }
}

fn bearer(key: &str) -> Vec<(String, String)> {
    vec![("authorization".to_owned(), format!("Bearer {key}"))]
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

fn signed(app: &str, secret: &[u8], id: &str, time: u64, payload: &str) -> Vec<(String, String)> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(format!("{id}.{time}.{payload}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    [
        ("x-callback-app-id", app.to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", time.to_string()),
        ("webhook-signature", signature),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn fresh() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Neither logs, metrics nor queues contain any of the credentials.
async fn assert_silent(fixture: &SharedGateway) {
    let mut shown: Vec<String> = fixture
        .gateway
        .instances()
        .map(|it| it.process.log())
        .collect();
    shown.push(fixture.gateway.metrics(tests::GatewayRole::Ingress).await);
    for (_, taken) in fixture.gateway.take_all().await {
        shown.push(format!("{taken:?}"));
    }
    let canaries = [
        KEY_A,
        KEY_A2,
        KEY_B,
        &whsec(&SECRET)[6..],
        &hash(KEY_A)[7..],
    ];
    for text in shown {
        for canary in canaries {
            let at = text
                .find(canary)
                .map(|at| &text[text[..at].rfind('\n').unwrap_or(0)..at]);
            assert_eq!(at, None, "{canary} shows itself");
        }
    }
}

#[test]
fn a_key_grants_access_to_its_own_app_and_callbacks_alone() {
    on_shared_runtime(async {
        let fixture = fixture("bearer", &[("RINGBACK__APPS__B__DISABLED", "false")]).await;
        for key in [KEY_A, KEY_A2] {
            let answer = ask(
                &fixture,
                "POST",
                PATH,
                &body(&fixture, "AppA"),
                &bearer(key),
            )
            .await;
            let id = answer.accepted();
            fixture.received(&id, 1).await;
        }
        let own = ask(
            &fixture,
            "POST",
            PATH,
            &body(&fixture, "AppA"),
            &bearer(KEY_A),
        )
        .await;
        let id = own.accepted();
        for (headers, app, status) in [
            (vec![], "AppA", 401),
            (bearer("rbk_wrong"), "AppA", 401),
            (bearer(KEY_B), "AppA", 403),
            (bearer(KEY_A), "B", 403),
            (bearer(KEY_A), "appa", 403),
            (bearer(KEY_A), "nobody", 403),
        ] {
            let answer = ask(&fixture, "POST", PATH, &body(&fixture, app), &headers).await;
            assert_eq!(answer.status, status, "{app}: {:?}", answer.body);
            let json: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(json["code"], status.to_string());
            assert!(json.get("request_id").is_none(), "{json}");
            let challenge = answer.headers.get("www-authenticate");
            assert_eq!(challenge.is_some(), status == 401);
        }
        // Refused before the body is read or parsed.
        let answer = ask(&fixture, "POST", PATH, "no json", &[]).await;
        assert_eq!(answer.status, 401);

        let at = format!("{PATH}/{id}");
        eventually("its own query", Duration::from_secs(30), async || {
            let answer = ask(&fixture, "GET", &at, "", &bearer(KEY_A)).await;
            (answer.status == 200).then_some(())
        })
        .await;
        let unknown = format!("{PATH}/{}", uuid::Uuid::from_u128(7));
        for method in ["GET", "DELETE"] {
            let foreign = eventually("no 503", Duration::from_secs(60), async || {
                let answer = ask(&fixture, method, &at, "", &bearer(KEY_B)).await;
                (answer.status != 503).then_some(answer)
            })
            .await;
            let none = ask(&fixture, method, &unknown, "", &bearer(KEY_B)).await;
            assert_eq!((foreign.status, foreign.body), (404, none.body.clone()));
            assert_eq!(none.status, 404);
            assert_eq!(ask(&fixture, method, &at, "", &[]).await.status, 401);
        }
        assert_silent(&fixture).await;
    });
}

#[test]
fn a_signature_authenticates_one_request_once() {
    on_shared_runtime(async {
        let fixture = fixture("hmac", &[]).await;
        let text = body(&fixture, "AppA");
        let id = fresh();
        let headers = signed("AppA", &SECRET, &id, now(), &text);
        let answer = ask(&fixture, "POST", PATH, &text, &headers).await;
        let request_id = answer.accepted();
        fixture.received(&request_id, 1).await;
        let again = ask(&fixture, "POST", PATH, &text, &headers).await;
        assert_eq!(again.status, 401, "a replay");
        let later = signed("AppA", &SECRET, &id, now() + 1, &text);
        assert_eq!(ask(&fixture, "POST", PATH, &text, &later).await.status, 401);

        for (what, headers) in [
            ("nothing", vec![]),
            (
                "another's secret",
                signed("AppA", &[7; 32], &fresh(), now(), &text),
            ),
            ("another app", signed("B", &SECRET, &fresh(), now(), &text)),
            (
                "unknown app",
                signed("nobody", &SECRET, &fresh(), now(), &text),
            ),
            (
                "too old",
                signed("AppA", &SECRET, &fresh(), now() - 400, &text),
            ),
            (
                "from to-morrow",
                signed("AppA", &SECRET, &fresh(), now() + 400, &text),
            ),
            (
                "another body",
                signed("AppA", &SECRET, &fresh(), now(), "{}"),
            ),
        ] {
            let answer = ask(&fixture, "POST", PATH, &text, &headers).await;
            assert_eq!(answer.status, 401, "{what}");
        }
        let other = body(&fixture, "B");
        let headers = signed("AppA", &SECRET, &fresh(), now(), &other);
        assert_eq!(
            ask(&fixture, "POST", PATH, &other, &headers).await.status,
            403
        );

        let at = format!("{PATH}/{request_id}");
        let get = |method: &str, path: &str| {
            signed(
                "AppA",
                &SECRET,
                &fresh(),
                now(),
                &format!("{method} {path}"),
            )
        };
        eventually("its own query", Duration::from_secs(30), async || {
            let answer = ask(&fixture, "GET", &at, "", &get("GET", &at)).await;
            (answer.status == 200).then_some(())
        })
        .await;
        let question = get("GET", &at);
        assert_eq!(
            ask(&fixture, "DELETE", &at, "", &question).await.status,
            401
        );
        let elsewhere = get("GET", &format!("{PATH}/{}", fresh()));
        assert_eq!(ask(&fixture, "GET", &at, "", &elsewhere).await.status, 401);
        let foreign = signed("B", &[7; 32], &fresh(), now(), &format!("DELETE {at}"));
        let foreign = ask(&fixture, "DELETE", &at, "", &foreign).await;
        assert!(matches!(foreign.status, 404 | 503), "{}", foreign.status);
        assert_silent(&fixture).await;
    });
}

#[test]
fn an_app_over_its_rate_or_concurrency_gets_429_alone() {
    on_shared_runtime(async {
        let limits = [
            ("RINGBACK__APPS__AppA__RATE", "1"),
            ("RINGBACK__APPS__AppA__BURST", "3"),
            ("RINGBACK__APPS__B__MAX_IN_FLIGHT", "1"),
        ];
        let fixture = fixture("bearer", &limits).await;
        let text = body(&fixture, "AppA");
        // Sent one after the other they might be slower than the rate.
        let own = bearer(KEY_A);
        // By one client: making 30 takes seconds on a busy machine, and until then the connections
        // that are open already would send nothing.
        let client = http::client();
        let many = (0..30).map(|_| ask_with(&client, &fixture, "POST", PATH, &text, &own));
        let begun = Instant::now();
        let answers = join_all(many).await;
        let most = 4 + usize::try_from(begun.elapsed().as_secs()).unwrap();
        for answer in answers.iter().filter(|it| it.status == 429) {
            assert_eq!(answer.headers["retry-after"], "1");
        }
        let of = |status| answers.iter().filter(|it| it.status == status).count();
        let (accepted, limited) = (of(200), of(429));
        assert_eq!(accepted + limited, answers.len(), "{answers:?}");
        assert!((3..=most).contains(&accepted), "{accepted} of {most}");
        assert!(limited > 0);

        let text = body(&fixture, "B");
        let mut held = bearer(KEY_B);
        held.push(("prefer".to_owned(), "wait=20".to_owned()));
        let mut slow = fixture.callback("/slow/14000");
        slow["app_id"] = Value::from("B");
        let slow = slow.to_string();
        // Another request may hold the only permit at first.
        let waiting = async {
            loop {
                let answer = ask(&fixture, "POST", PATH, &slow, &held).await;
                if answer.status != 429 {
                    return answer;
                }
            }
        };
        let meanwhile = async {
            eventually("a full quota", Duration::from_secs(13), async || {
                let answer = ask(&fixture, "POST", PATH, &text, &bearer(KEY_B)).await;
                (answer.status == 429).then_some(())
            })
            .await;
        };
        let (waited, ()) = futures_util::join!(waiting, meanwhile);
        assert!(matches!(waited.status, 200 | 202), "{}", waited.status);
        let after = ask(&fixture, "POST", PATH, &text, &bearer(KEY_B)).await;
        assert_eq!(after.status, 200, "the place came back");
        let page = fixture.gateway.metrics(tests::GatewayRole::Ingress).await;
        for limit in ["rate", "max_in_flight"] {
            let series = format!("ringback_rate_limited_requests_total{{limit=\"{limit}\"}}");
            let mut counts = page.lines().filter_map(|line| line.strip_prefix(&*series));
            assert!(counts.any(|count| count != " 0"), "{page}");
        }
    });
}

#[test]
fn no_ingress_starts_without_an_authentication_mode() {
    on_shared_runtime(async {
        for role in ["ingress", "serve"] {
            let mut variables = vec![("RINGBACK__AUTH__MODE", "")];
            variables.push(match role {
                "serve" => ("RINGBACK__BROKER__DATA_DIR", "/nowhere/ringback"),
                _ => ("RINGBACK__BROKER__URL", "amqp://127.0.0.1:9"),
            });
            let mut process = Process::ringback(&[role], variables);
            let ended = process.wait_exit(Duration::from_secs(20)).await;
            assert_ne!(ended.code(), Some(0));
            let output = process.log();
            assert!(
                output.contains("auth.mode (RINGBACK__AUTH__MODE): it is not set"),
                "{output}"
            );
        }
    });
}
