//! Keys change under load: no valid key is refused, and no removed key is accepted.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use delivery::auth::KeyHash;
use serde_json::json;
use tests::cleanup::TempDirectory;
use tests::{GatewayOptions, GatewayRole, SharedGateway, eventually, on_shared_runtime};

const IN_TIME: Duration = Duration::from_secs(60);
/// Concurrent callers, each with one request after the other.
const CALLERS: usize = 8;
/// Requests between two changes.
const BETWEEN: usize = 100;
const KEYS: [&str; 3] = ["rbk_first", "rbk_second", "rbk_third"];

fn hash(key: &str) -> String {
    KeyHash::of(key.as_bytes()).to_string()
}

/// The settings of app `A` with these keys.
fn app(keys: &[&str], more: &str) -> String {
    let keys: Vec<String> = keys.iter().map(|key| hash(key)).collect();
    format!("[apps.A]\nkeys = {}\n{more}\n", json!(keys))
}

struct GatewayWithKeys {
    fixture: SharedGateway,
    temp: TempDirectory,
    body: String,
}

impl GatewayWithKeys {
    async fn start() -> Self {
        let temp = TempDirectory::new("keys");
        let file = temp.path().join("settings.toml");
        fs::write(&file, app(&KEYS[..1], "")).unwrap();
        let fixture = SharedGateway::start(|_| {
            let options = GatewayOptions::default();
            let options = options.with_ingress("RINGBACK__AUTH__MODE", "bearer");
            options.with("RINGBACK_CONFIG", &file.display().to_string())
        })
        .await;
        let mut callback = fixture.callback("/ok");
        callback["app_id"] = json!("A");
        let body = callback.to_string();
        Self {
            fixture,
            temp,
            body,
        }
    }

    /// The status of one request with this key.
    async fn ask(&self, key: &str) -> u16 {
        let authorization = format!("Bearer {key}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &*authorization),
        ];
        let answered = self.fixture.gateway.post_raw(self.body.clone(), &headers);
        answered.await.status
    }

    /// Writes the settings, reloads them, and waits for the `count`th reload with this result.
    async fn reload(&self, settings: &str, result: &str, count: u64) {
        fs::write(self.temp.path().join("settings.toml"), settings).unwrap();
        tests::cleanup::signal(self.fixture.gateway.ingress.process.pid(), "HUP");
        let series = format!("ringback_config_reloads_total{{result=\"{result}\"}}");
        eventually(&series, IN_TIME, async || {
            let figure = self.fixture.metric(GatewayRole::Ingress, &series).await;
            (figure == count).then_some(()).ok_or(figure.to_string())
        })
        .await;
    }
}

#[test]
fn keys_change_under_load_without_a_gap_and_a_removed_one_is_refused_at_once() {
    on_shared_runtime(async {
        let setup = GatewayWithKeys::start().await;
        let key = Mutex::new(KEYS[0]);
        let answers = Mutex::new(Vec::<(&str, u16)>::new());
        let over = AtomicBool::new(false);
        let caller = async || {
            while !over.load(Ordering::Relaxed) {
                let shown = *key.lock().unwrap();
                let status = setup.ask(shown).await;
                answers.lock().unwrap().push((shown, status));
            }
        };
        let some_more = async || {
            let before = answers.lock().unwrap().len();
            eventually("more traffic", IN_TIME, async || {
                (answers.lock().unwrap().len() >= before + BETWEEN).then_some(())
            })
            .await;
        };
        let operator = async {
            some_more().await;
            setup.reload(&app(&KEYS[..2], ""), "success", 1).await;
            some_more().await; // Both are valid: callers change when they like.
            *key.lock().unwrap() = KEYS[1];
            // A request with the old key is answered before the next batch is through.
            some_more().await;
            setup.reload(&app(&KEYS[1..2], ""), "success", 2).await;
            assert_eq!(setup.ask(KEYS[0]).await, 401, "the removed key");
            some_more().await;

            let broken = app(&KEYS[2..], "rate = \"fast\"");
            setup.reload(&broken, "failure", 1).await;
            assert_eq!(setup.ask(KEYS[2]).await, 401, "a key of refused settings");
            some_more().await;
            over.store(true, Ordering::Relaxed);
        };
        let callers = futures_util::future::join_all((0..CALLERS).map(|_| caller()));
        tokio::join!(callers, operator);
        let answers = answers.into_inner().unwrap();
        let refused: Vec<_> = answers
            .iter()
            .filter(|(_, status)| *status != 200)
            .collect();
        assert!(refused.is_empty(), "{refused:?} of {}", answers.len());

        setup
            .reload(&app(&KEYS[1..2], "disabled = true"), "success", 3)
            .await;
        assert_eq!(setup.ask(KEYS[1]).await, 403, "a disabled app");
        assert_eq!(setup.ask(KEYS[2]).await, 401);
        setup.reload("", "success", 4).await;
        assert_eq!(setup.ask(KEYS[1]).await, 401, "an app that is gone");
        setup.reload(&app(&KEYS[1..2], ""), "success", 5).await;
        assert_eq!(setup.ask(KEYS[1]).await, 200);
        let accepted = answers.len() + 1;
        eventually("all delivered", IN_TIME, async || {
            let received = setup.fixture.callee.requests.received().len();
            (received == accepted)
                .then_some(())
                .ok_or(format!("{received} of {accepted}"))
        })
        .await;
    });
}
