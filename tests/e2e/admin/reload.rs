//! Settings change in a running gateway, completely or not at all.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::cleanup::TempDirectory;
use tests::{GatewayOptions, GatewayRole, SharedGateway, callback, eventually};

/// A file is checked every 2 s, and read when it is unchanged twice.
const IN_TIME: Duration = Duration::from_secs(60);

/// A gateway whose settings file registers `EO001` at a path of the practice callee.
struct ReloadableGateway {
    fixture: SharedGateway,
    file: PathBuf,
    _temp: TempDirectory,
}

impl ReloadableGateway {
    async fn start(path: &str) -> Self {
        let temp = TempDirectory::new("reload");
        let file = temp.path().join("settings.toml");
        let fixture = SharedGateway::start(|callee| {
            let options = GatewayOptions {
                schedule: vec!["1s"; 19].join(","),
                ..GatewayOptions::default()
            };
            fs::write(&file, registered(&callee.url(path))).unwrap();
            options.with("RINGBACK_CONFIG", &file.display().to_string())
        })
        .await;
        Self {
            fixture,
            file,
            _temp: temp,
        }
    }

    /// Writes the settings again, with `EO001` at this path and these lines before it.
    fn write(&self, before: &str, path: &str) {
        let callee = registered(&self.fixture.callee.url(path));
        fs::write(&self.file, format!("{before}\n{callee}")).unwrap();
    }

    fn reload(&mut self) {
        let gateway = &mut self.fixture.gateway;
        gateway.ingress.process.sighup();
        for instance in &mut gateway.dispatchers {
            instance.process.sighup();
        }
    }

    async fn send(&self) -> String {
        let mut body: Value = callback("");
        body.as_object_mut().unwrap().remove("callback_url");
        body["callee_no"] = json!("EO001");
        self.fixture.send(&body).await
    }

    /// The callback is finally delivered to this path.
    async fn arrives(&self, id: &str, path: &str) {
        eventually("the callback where its callee is", IN_TIME, async || {
            let visits = self.fixture.callee.requests.for_id(id);
            let last = visits.last().map(|it| (it.path.clone(), it.status));
            let there = last == Some((path.to_owned(), Some(200)));
            there.then_some(()).ok_or(format!("{last:?}"))
        })
        .await;
    }

    /// The metric of both processes reaches this value.
    async fn reaches(&self, series: &str, least: u64) {
        self.series_is(series, |value| value >= least).await;
    }

    /// The metric of both processes is as expected.
    async fn series_is(&self, series: &str, expected: impl Fn(u64) -> bool) {
        for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
            eventually(series, IN_TIME, async || {
                let figure = self.fixture.metric(role, series).await;
                expected(figure).then_some(()).ok_or(figure.to_string())
            })
            .await;
        }
    }
}

fn registered(url: &str) -> String {
    format!("[callees.EO001]\nurl = \"{url}\"\n")
}

#[tokio::test]
async fn a_sighup_gives_waiting_callbacks_their_callees_new_url() {
    let mut setup = ReloadableGateway::start("/status/503").await;
    let id = setup.send().await;
    setup.fixture.received(&id, 1).await;
    setup.write("", "/ok/moved");
    setup.reload();
    setup.arrives(&id, "/ok/moved").await;
}

#[tokio::test]
async fn a_changed_file_gives_waiting_callbacks_their_callees_new_url() {
    let setup = ReloadableGateway::start("/status/503").await;
    let id = setup.send().await;
    setup.fixture.received(&id, 1).await;
    setup.write("", "/ok/moved");
    setup.arrives(&id, "/ok/moved").await;
    setup
        .reaches("ringback_config_reloads_total{result=\"success\"}", 1)
        .await;
}

#[tokio::test]
async fn settings_with_one_error_are_rejected_as_a_whole() {
    let mut setup = ReloadableGateway::start("/ok/old").await;
    let refused = "ringback_config_reloads_total{result=\"failure\"}";
    for (round, mistake) in (0_u64..).zip([
        "[ingress]\nworkers = \"many\"",
        "[callees.EO002]\nurl = \"http://u:p@h/\"",
    ]) {
        setup.write(mistake, "/ok/new");
        setup.reload();
        setup.reaches(refused, round + 1).await;
        setup
            .series_is("ringback_config_last_reload_successful", |value| value == 0)
            .await;
        let id = setup.send().await;
        setup.arrives(&id, "/ok/old").await;
    }
    let log = setup.fixture.gateway.dispatching_instances()[0]
        .process
        .log();
    assert!(log.contains("rejected as a whole"), "{log}");
    assert!(log.contains("\\\"many\\\" is not a whole number"), "{log}");
    setup.write("", "/ok/new");
    setup.reload();
    setup
        .reaches("ringback_config_reloads_total{result=\"success\"}", 1)
        .await;
    let id = setup.send().await;
    setup.arrives(&id, "/ok/new").await;
}
