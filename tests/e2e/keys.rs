//! Can keys be changed under load, with nobody turned away who may come in, and nobody let in who
//! may not?

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use delivery::callers::KeyHash;
use serde_json::json;
use tests::nest::Nest;
use tests::{GatewayOptions, Role, World, eventually, together};

const IN_TIME: Duration = Duration::from_secs(60);
/// So many callers at a time, each with one request after the other.
const CALLERS: usize = 8;
/// What must have come through between two changes.
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

struct Site {
    world: World,
    nest: Nest,
    body: String,
}

impl Site {
    async fn start() -> Self {
        let nest = Nest::new("keys");
        let file = nest.directory().join("settings.toml");
        fs::write(&file, app(&KEYS[..1], "")).unwrap();
        let world = World::start(|_| {
            let options = GatewayOptions::default();
            let options = options.with_ingress("RINGBACK__AUTH__MODE", "bearer");
            options.with("RINGBACK_CONFIG", &file.display().to_string())
        })
        .await;
        let mut callback = world.callback("/ok");
        callback["app_id"] = json!("A");
        let body = callback.to_string();
        Self { world, nest, body }
    }

    /// The status of one request with this key.
    async fn ask(&self, key: &str) -> u16 {
        let authorization = format!("Bearer {key}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &*authorization),
        ];
        let answered = self.world.gateway.post_raw(self.body.clone(), &headers);
        answered.await.status
    }

    /// Writes the settings, has them read, and waits for the `count`th reload with this result.
    async fn reload(&self, settings: &str, result: &str, count: u64) {
        fs::write(self.nest.directory().join("settings.toml"), settings).unwrap();
        tests::nest::signal(self.world.gateway.ingress.process.pid(), "HUP");
        let series = format!("ringback_settings_reloads_total{{result=\"{result}\"}}");
        eventually(&series, IN_TIME, async || {
            let figure = self.world.metric(Role::Ingress, &series).await;
            (figure == count).then_some(()).ok_or(figure.to_string())
        })
        .await;
    }
}

#[test]
fn keys_change_under_load_without_a_gap_and_a_removed_one_is_worth_nothing_at_once() {
    together(async {
        let site = Site::start().await;
        let key = Mutex::new(KEYS[0]);
        let told = Mutex::new(Vec::<(&str, u16)>::new());
        let over = AtomicBool::new(false);
        let caller = async || {
            while !over.load(Ordering::Relaxed) {
                let shown = *key.lock().unwrap();
                let status = site.ask(shown).await;
                told.lock().unwrap().push((shown, status));
            }
        };
        let some_more = async || {
            let before = told.lock().unwrap().len();
            eventually("more traffic", IN_TIME, async || {
                (told.lock().unwrap().len() >= before + BETWEEN).then_some(())
            })
            .await;
        };
        let operator = async {
            some_more().await;
            site.reload(&app(&KEYS[..2], ""), "taken", 1).await;
            some_more().await; // Both are good: callers change over when they like.
            *key.lock().unwrap() = KEYS[1];
            // Who has just asked with the old one has its answer before the next batch is through.
            some_more().await;
            site.reload(&app(&KEYS[1..2], ""), "taken", 2).await;
            assert_eq!(site.ask(KEYS[0]).await, 401, "the removed key");
            some_more().await;

            let broken = app(&KEYS[2..], "rate = \"fast\"");
            site.reload(&broken, "refused", 1).await;
            assert_eq!(site.ask(KEYS[2]).await, 401, "a key of refused settings");
            some_more().await;
            over.store(true, Ordering::Relaxed);
        };
        let callers = futures_util::future::join_all((0..CALLERS).map(|_| caller()));
        tokio::join!(callers, operator);
        let told = told.into_inner().unwrap();
        let turned: Vec<_> = told.iter().filter(|(_, status)| *status != 200).collect();
        assert!(turned.is_empty(), "{turned:?} of {}", told.len());

        site.reload(&app(&KEYS[1..2], "disabled = true"), "taken", 3)
            .await;
        assert_eq!(site.ask(KEYS[1]).await, 403, "a disabled app");
        assert_eq!(site.ask(KEYS[2]).await, 401);
        site.reload("", "taken", 4).await;
        assert_eq!(site.ask(KEYS[1]).await, 401, "an app that is gone");
        site.reload(&app(&KEYS[1..2], ""), "taken", 5).await;
        assert_eq!(site.ask(KEYS[1]).await, 200);
        let accepted = told.len() + 1;
        eventually("all delivered", IN_TIME, async || {
            let received = site.world.callee.book.received().len();
            (received == accepted)
                .then_some(())
                .ok_or(format!("{received} of {accepted}"))
        })
        .await;
    });
}
