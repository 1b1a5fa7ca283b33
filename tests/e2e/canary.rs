//! Does a secret, or what callers say to targets, ever come out where it has no business?
//!
//! Every secret is a word of its own. Callbacks live through all that can happen to them; then
//! everything that the gateway has written anywhere is searched for those words.

mod lines;
mod places;

use std::fs;
use std::time::Duration;

use delivery::callers::{KeyHash, Secret};
use reqwest::Method;
use serde_json::{Value, json};
use tests::nest::Nest;
use tests::{
    GatewayOptions, Kind, Postgres, Process, Rabbit, Role, World, eventually, http, together,
};

use places::Places;

const SOON: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";

/// What nobody may find anywhere.
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
/// What a dead letter and a message on its way hold, and nobody else.
const QUERY: &str = "canary-query";
const FIELD: &str = "canary-callers-header";
const PAYLOAD: &str = "canary-payload";

struct Site {
    world: World,
    nest: Nest,
}

impl Site {
    async fn start() -> Self {
        let nest = Nest::new("canary");
        let file = nest.directory().join("settings.toml");
        let bearer = nest.directory().join("bearer");
        fs::write(&bearer, BEARER).unwrap();
        let mut more = vec![("CANARY_HEADER", HEADER.to_owned())];
        if Kind::chosen() == Kind::RabbitMq {
            let rabbit = Rabbit::shared().await;
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
        let world = World::start(|callee| {
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
        Self { world, nest }
    }

    /// A callback to a path of the callee, or without one to the registered callee.
    fn callback(&self, path: Option<&str>) -> Value {
        let mut callback = self.world.callback("");
        let fields = callback.as_object_mut().unwrap();
        match path {
            Some(path) => {
                let url = self.world.callee.url(&format!("{path}?token={QUERY}"));
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
        let answered = self.world.gateway.post_raw(body, &headers).await;
        let shown = format!("{:?}", answered.headers);
        places.add("an answer's headers", shown);
        let body = answered.json();
        places.add("an answer", body.to_string());
        body
    }

    /// Asks the operators' API; the answer.
    async fn operators(&self, path: &str, wish: Option<Value>, token: &str) -> String {
        let url = format!("{}{path}", self.world.gateway.operators_url());
        let client = http::client();
        let request = match wish {
            None => client.get(url),
            Some(wish) => client
                .post(url)
                .header("content-type", JSON)
                .body(wish.to_string()),
        };
        let answer = request.bearer_auth(token).send().await.unwrap();
        answer.text().await.unwrap()
    }

    async fn is(&self, id: &str, expected: &str) -> Value {
        let authorization = format!("Bearer {KEY}");
        eventually(&format!("{id} to be {expected}"), SOON, async || {
            let headers = [("authorization", &*authorization)];
            let answered = self.world.gateway.ask(Method::GET, id, &headers).await;
            let body = answered.json();
            (body["status"] == expected)
                .then_some(body.clone())
                .ok_or(body.to_string())
        })
        .await
    }
}

/// Everything that can happen to callbacks, with what was answered.
async fn live(site: &Site, places: &mut Places) {
    let delivered = site.callback(Some("/flaky/1"));
    let delivered = site.post(delivered.to_string(), KEY, places).await;
    let mut dead = Vec::new();
    for path in [Some("/status/400"), Some("/redirect/x"), None] {
        let body = site
            .post(site.callback(path).to_string(), KEY, places)
            .await;
        dead.push(body["request_id"].as_str().unwrap().to_owned());
    }
    let id = delivered["request_id"].as_str().unwrap();
    places.add("a query", site.is(id, "delivered").await.to_string());
    for id in &dead {
        places.add("a query", site.is(id, "dead").await.to_string());
    }

    let good = site.callback(Some("/ok")).to_string();
    site.post(good.clone(), WRONG, places).await;
    site.post(good.replace("\"A\"", "\"B\""), KEY, places).await;
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
        let body = site.post(bad, KEY, places).await;
        assert_eq!(body["code"], "400", "{body}");
    }

    let wish = json!({"ids": dead, "who": "ops@example", "reason": "they are back"});
    let said = site.operators("/api/dead/replay", Some(wish), ADMIN).await;
    assert!(said.contains("\"replayed\":3"), "{said}");
    places.add("a replay", said);
    for path in ["/api/dead", "/api/audit"] {
        places.add("a refusal", site.operators(path, None, WRONG_ADMIN).await);
    }
    for id in &dead {
        eventually("its second life's end", SOON, async || {
            let path = format!("/api/callbacks/{id}");
            let shown = site.operators(&path, None, ADMIN).await;
            let body: Value = serde_json::from_str(&shown).unwrap();
            let over = body["status"] == "dead" && body["generation"] == 1;
            over.then_some(()).ok_or(shown)
        })
        .await;
        let shown = site
            .operators(&format!("/api/callbacks/{id}"), None, ADMIN)
            .await;
        places.add("an operator's view", shown);
        // The message as it was given up is what this is for.
        let shown = site
            .operators(&format!("/api/dead/{id}"), None, ADMIN)
            .await;
        assert!(shown.contains(PAYLOAD), "{shown}");
        places.add_message("a dead letter's view", shown);
    }
    for path in [
        "/api/callbacks",
        "/api/dead",
        "/api/audit",
        "/api/targets",
        "/api/pauses",
    ] {
        places.add(
            "an operator's list",
            site.operators(path, None, ADMIN).await,
        );
    }
}

#[test]
fn no_secret_and_no_payload_is_ever_shown() {
    together(async {
        let site = Site::start().await;
        let mut places = Places::default();
        live(&site, &mut places).await;
        let gateway = &site.world.gateway;
        for door in gateway.doors() {
            let log = door.process.log();
            assert!(log.lines().count() > 10, "{log}");
            places.add("a log", log);
            let pid = door.process.pid();
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            places.add("a command line", String::from_utf8_lossy(&line));
        }
        for role in [Role::Ingress, Role::Dispatcher(0)] {
            places.add("the metrics", gateway.metrics(role).await);
            for path in ["/readyz", "/healthz"] {
                places.add("the health", gateway.get(role, path).await.1);
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
        // What is searched is not nothing: the target was told all of it.
        let received = site.world.callee.book.received();
        let told = |of: &str| received.iter().any(|it| format!("{it:?}").contains(of));
        assert!(told(BEARER) && told(HEADER) && told(OWN_QUERY) && told(QUERY) && told(FIELD));
        assert!(told("\"webhook-signature\": \"v1,"));
        drop(site.nest);
    });
}
