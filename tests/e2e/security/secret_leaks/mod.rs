//! Secrets and payloads never appear where they do not belong.
//!
//! Every secret is a unique word. Callbacks go through everything that can happen to them. Then
//! everything that the gateway has written is searched for these words.

mod log_lines;
mod places;

use std::fs;
use std::time::Duration;

use delivery::auth::{KeyHash, Secret};
use reqwest::Method;
use serde_json::{Value, json};
use tests::cleanup::TempDirectory;
use tests::{
    BrokerKind, GatewayOptions, GatewayRole, Postgres, Process, RabbitMq, SharedGateway,
    eventually, http, on_shared_runtime,
};

use places::Places;

const SOON: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";

/// Words that must not appear anywhere.
const KEY: &str = "rbk_canary-key";
const WRONG: &str = "rbk_canary-of-a-wrong-key";
const HMAC: &[u8; 32] = b"canary-of-the-signing-secret-001";
const SIGNING: &[u8; 32] = b"canary-that-signs-for-targets-01";
const ADMIN: &str = "canary-admin-token";
const WRONG_ADMIN: &str = "canary-wrong-admin-token";
const BROKER: &str = "canary-broker-password";
const DATABASE: &str = "canary-database-password";
const BEARER: &str = "canary-callee-bearer";
const HEADER: &str = "canary-callee-header";
const OWN_QUERY: &str = "canary-callee-query";
const USER_INFO: &str = "canary-user-info";
/// Words that may appear only in dead letters and in messages in transit.
const QUERY: &str = "canary-query";
const FIELD: &str = "canary-callers-header";
const PAYLOAD: &str = "canary-payload";

struct GatewayWithSecrets {
    fixture: SharedGateway,
    temp: TempDirectory,
}

impl GatewayWithSecrets {
    async fn start() -> Self {
        let temp = TempDirectory::new("canary");
        let file = temp.path().join("settings.toml");
        let bearer = temp.path().join("bearer");
        fs::write(&bearer, BEARER).unwrap();
        let mut more = vec![("CANARY_HEADER", HEADER.to_owned())];
        if BrokerKind::chosen() == BrokerKind::RabbitMq {
            let rabbit = RabbitMq::shared().await;
            rabbit.ctl(&["add_user", "canary", BROKER]).await;
            let all = ["set_permissions", "canary", ".*", ".*", ".*"];
            rabbit.ctl(&all).await;
            let url = rabbit
                .uri()
                .replace("guest:guest", &format!("canary:{BROKER}"));
            more.push(("RINGBACK__BROKER__URL", url));
            let url = Postgres::shared().await.database().await;
            let url = url.replace("postgres@", &format!("postgres:{DATABASE}@"));
            more.push(("RINGBACK__JOURNAL__URL", url));
        }
        let fixture = SharedGateway::start(|callee| {
            let url = callee.url(&format!("/status/503?token={OWN_QUERY}"));
            let hash = KeyHash::of(KEY.as_bytes());
            let (secret, signing) = (Secret::text(HMAC), Secret::text(SIGNING));
            let settings = format!(
                "[apps.A]\nkeys = [\"{hash}\"]\nsecrets = [\"{secret}\"]\n\
                 signing_secrets = [\"{signing}\"]\n\
                 [callees.EO001]\nurl = \"{url}\"\nauth = \"bearer\"\nsecret = \"file:{}\"\n\
                 headers = {{ x-own = \"env:CANARY_HEADER\" }}\n",
                bearer.display()
            );
            fs::write(&file, settings).unwrap();
            let options = GatewayOptions {
                schedule: "1s".to_owned(),
                ..GatewayOptions::default()
            };
            let options = options
                .with("RINGBACK_CONFIG", &file.display().to_string())
                .with("RINGBACK__LOG__LEVEL", "trace")
                .with("RINGBACK__ADMIN__TOKEN", ADMIN)
                .with_ingress("RINGBACK__AUTH__MODE", "bearer")
                .with_journal();
            more.iter()
                .fold(options, |it, (key, value)| it.with(key, value))
        })
        .await;
        Self { fixture, temp }
    }

    /// A callback to a path of the callee, or without one to the registered callee.
    fn callback(&self, path: Option<&str>) -> Value {
        let mut callback = self.fixture.callback("");
        let fields = callback.as_object_mut().unwrap();
        match path {
            Some(path) => {
                let url = self.fixture.callee.url(&format!("{path}?token={QUERY}"));
                fields.insert("callback_url".to_owned(), url.into());
                let headers = json!({"authorization": FIELD});
                fields.insert("options".to_owned(), json!({"headers": headers}));
            }
            None => {
                fields.remove("callback_url");
                fields.insert("callee_no".to_owned(), "EO001".into());
            }
        }
        fields.insert("app_id".to_owned(), "A".into());
        fields.insert("request_message".to_owned(), json!({"secret": PAYLOAD}));
        callback
    }

    async fn post(&self, body: impl Into<reqwest::Body>, key: &str, places: &mut Places) -> Value {
        let authorization = format!("Bearer {key}");
        let headers = [("content-type", JSON), ("authorization", &*authorization)];
        let answered = self.fixture.gateway.post_raw(body, &headers).await;
        let shown = format!("{:?}", answered.headers);
        places.add("an answer's headers", shown);
        let body = answered.json();
        places.add("an answer", body.to_string());
        body
    }

    /// Sends a request to the operators' API; returns the answer.
    async fn admin(&self, path: &str, body: Option<Value>, token: &str) -> String {
        let url = format!("{}{path}", self.fixture.gateway.admin_url());
        let client = http::client();
        let request = match body {
            None => client.get(url),
            Some(body) => client
                .post(url)
                .header("content-type", JSON)
                .body(body.to_string()),
        };
        let answer = request.bearer_auth(token).send().await.unwrap();
        answer.text().await.unwrap()
    }

    async fn is(&self, id: &str, expected: &str) -> Value {
        let authorization = format!("Bearer {KEY}");
        eventually(&format!("{id} to be {expected}"), SOON, async || {
            let headers = [("authorization", &*authorization)];
            let answered = self.fixture.gateway.ask(Method::GET, id, &headers).await;
            let body = answered.json();
            (body["status"] == expected)
                .then_some(body.clone())
                .ok_or(body.to_string())
        })
        .await
    }
}

/// Everything that can happen to callbacks, with the answers.
async fn live(setup: &GatewayWithSecrets, places: &mut Places) {
    let delivered = setup.callback(Some("/flaky/1"));
    let delivered = setup.post(delivered.to_string(), KEY, places).await;
    let mut dead = Vec::new();
    for path in [Some("/status/400"), Some("/redirect/x"), None] {
        let body = setup
            .post(setup.callback(path).to_string(), KEY, places)
            .await;
        dead.push(body["request_id"].as_str().unwrap().to_owned());
    }
    let id = delivered["request_id"].as_str().unwrap();
    places.add("a query", setup.is(id, "delivered").await.to_string());
    for id in &dead {
        places.add("a query", setup.is(id, "dead").await.to_string());
    }

    let good = setup.callback(Some("/ok")).to_string();
    setup.post(good.clone(), WRONG, places).await;
    setup
        .post(good.replace("\"A\"", "\"B\""), KEY, places)
        .await;
    for bad in [
        good[..good.len() - 1].to_owned(),
        good.replace(":{", &format!(":{PAYLOAD}{{")),
        good.replace("http://", &format!("http://u:{USER_INFO}@")),
        good.replace(
            "\"message_type\":",
            &format!("\"message_type\":[\"{PAYLOAD}\"],\"x\":"),
        ),
        good.replace(FIELD, &format!("{FIELD}\\u0000")),
        good.replace("http://", &format!("http://{PAYLOAD} ")),
    ] {
        let body = setup.post(bad, KEY, places).await;
        assert_eq!(body["code"], "400", "{body}");
    }

    let body = json!({"ids": dead, "actor": "ops@example", "reason": "they are back"});
    let output = setup
        .admin("/admin/v1/dead-letters/replay", Some(body), ADMIN)
        .await;
    assert!(output.contains("\"replayed\":3"), "{output}");
    places.add("a replay", output);
    for path in ["/admin/v1/dead-letters", "/admin/v1/audit"] {
        places.add("a refusal", setup.admin(path, None, WRONG_ADMIN).await);
    }
    for id in &dead {
        eventually("its second life's end", SOON, async || {
            let path = format!("/admin/v1/callbacks/{id}");
            let shown = setup.admin(&path, None, ADMIN).await;
            let body: Value = serde_json::from_str(&shown).unwrap();
            let over = body["status"] == "dead" && body["generation"] == 1;
            over.then_some(()).ok_or(shown)
        })
        .await;
        let shown = setup
            .admin(&format!("/admin/v1/callbacks/{id}"), None, ADMIN)
            .await;
        places.add("an operator's view", shown);
        let shown = setup
            .admin(&format!("/admin/v1/dead-letters/{id}"), None, ADMIN)
            .await;
        places.add("a dead letter's view", shown);
        // This request exists to show the dead-lettered message.
        let path = format!("/admin/v1/callbacks/{id}/payload?actor=ops@example");
        let shown = setup.admin(&path, None, ADMIN).await;
        assert!(shown.contains(PAYLOAD), "{shown}");
        places.add_message("a callback's payload", shown);
    }
    for path in [
        "/admin/v1/callbacks",
        "/admin/v1/dead-letters",
        "/admin/v1/audit",
        "/admin/v1/instances",
        "/admin/v1/targets",
        "/admin/v1/apps",
        "/admin/v1/pauses",
    ] {
        places.add("an operator's list", setup.admin(path, None, ADMIN).await);
    }
}

#[test]
fn no_secret_and_no_payload_is_ever_shown() {
    on_shared_runtime(async {
        let setup = GatewayWithSecrets::start().await;
        let mut places = Places::default();
        live(&setup, &mut places).await;
        let gateway = &setup.fixture.gateway;
        for instance in gateway.instances() {
            let log = instance.process.log();
            assert!(log.lines().count() > 10, "{log}");
            places.add("a log", log);
            let pid = instance.process.pid();
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            places.add("a command line", String::from_utf8_lossy(&line));
        }
        for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
            places.add("the metrics", gateway.metrics(role).await);
            for path in ["/readyz", "/healthz"] {
                places.add("the health", gateway.get(role, path).await.1);
                places.add("the details", gateway.get_details(role, path).await.1);
            }
        }
        let mut config = Process::ringback(&["config"], gateway.variables());
        config.wait_exit(SOON).await;
        let config = config.log();
        assert!(
            config.contains("[callees.EO001]") || config.contains("EO001"),
            "{config}"
        );
        places.add("ringback config", config);
        let rows = places::journal(gateway).await;
        assert!(
            rows.iter().any(|(column, _)| column == "callbacks.app_id"),
            "{}",
            rows.len()
        );
        for (column, value) in rows {
            match &*column {
                "callbacks.dead_letter" => places.add_message(&column, value),
                _ => places.add(&column, value),
            }
        }
        let taken = gateway.take_all().await;
        assert!(!taken.is_empty(), "the dead letters");
        for (queue, taken) in taken {
            places.add_message(&queue, String::from_utf8_lossy(&taken.body));
            places.add(
                &format!("the headers in {queue}"),
                format!("{} {:?}", taken.id, taken.headers()),
            );
        }

        let hash = KeyHash::of(KEY.as_bytes()).to_string();
        let (secret, signing) = (Secret::text(HMAC), Secret::text(SIGNING));
        let nowhere = [
            KEY,
            WRONG,
            ADMIN,
            WRONG_ADMIN,
            BROKER,
            DATABASE,
            BEARER,
            HEADER,
            OWN_QUERY,
            USER_INFO,
            &secret[6..],
            &signing[6..],
            &hash[7..],
            std::str::from_utf8(HMAC).unwrap(),
            std::str::from_utf8(SIGNING).unwrap(),
        ];
        places.hold_none_of(&nowhere, &[QUERY, FIELD, PAYLOAD]);
        // The search is not vacuous: the target received all of these words.
        let received = setup.fixture.callee.requests.received();
        let target_received = |of: &str| received.iter().any(|it| format!("{it:?}").contains(of));
        assert!(
            target_received(BEARER)
                && target_received(HEADER)
                && target_received(OWN_QUERY)
                && target_received(QUERY)
                && target_received(FIELD)
        );
        assert!(target_received("\"webhook-signature\": \"v1,"));
        drop(setup.temp);
    });
}
