//! Do settings change in a running gateway, as a whole or not at all?

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::nest::Nest;
use tests::{GatewayOptions, Role, World, callback, eventually};

/// A file is looked at every 2 s, and counts when it looks the same twice.
const IN_TIME: Duration = Duration::from_secs(60);

/// A gateway whose settings file registers `EO001` at a path of the practice callee.
struct Site {
    world: World,
    file: PathBuf,
    _nest: Nest,
}

impl Site {
    async fn start(path: &str) -> Self {
        let nest = Nest::new("reload");
        let file = nest.directory().join("settings.toml");
        let world = World::start(|callee| {
            let options = GatewayOptions {
                schedule: vec!["1s"; 19].join(","),
                ..GatewayOptions::default()
            };
            fs::write(&file, registered(&callee.url(path))).unwrap();
            options.with("RINGBACK_CONFIG", &file.display().to_string())
        })
        .await;
        Self {
            world,
            file,
            _nest: nest,
        }
    }

    /// Writes the settings anew, with `EO001` at this path and these lines before it.
    fn write(&self, before: &str, path: &str) {
        let callee = registered(&self.world.callee.url(path));
        fs::write(&self.file, format!("{before}\n{callee}")).unwrap();
    }

    fn hang_up(&mut self) {
        let gateway = &mut self.world.gateway;
        gateway.ingress.process.sighup();
        for door in &mut gateway.dispatchers {
            door.process.sighup();
        }
    }

    async fn send(&self) -> String {
        let mut body: Value = callback("");
        body.as_object_mut().unwrap().remove("callback_url");
        body["callee_no"] = json!("EO001");
        self.world.send(&body).await
    }

    /// The callback reaches this path in the end, and is taken there.
    async fn arrives(&self, id: &str, path: &str) {
        eventually("the callback where its callee is", IN_TIME, async || {
            let visits = self.world.callee.book.for_id(id);
            let last = visits.last().map(|it| (it.path.clone(), it.status));
            let there = last == Some((path.to_owned(), Some(200)));
            there.then_some(()).ok_or(format!("{last:?}"))
        })
        .await;
    }

    /// Both doors show at least this figure.
    async fn figure_is(&self, series: &str, least: u64) {
        for role in [Role::Ingress, Role::Dispatcher(0)] {
            eventually(series, IN_TIME, async || {
                let figure = self.world.metric(role, series).await;
                (figure >= least).then_some(()).ok_or(figure.to_string())
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
    let mut site = Site::start("/status/503").await;
    let id = site.send().await;
    site.world.received(&id, 1).await;
    site.write("", "/ok/moved");
    site.hang_up();
    site.arrives(&id, "/ok/moved").await;
}

#[tokio::test]
async fn a_changed_file_gives_waiting_callbacks_their_callees_new_url() {
    let site = Site::start("/status/503").await;
    let id = site.send().await;
    site.world.received(&id, 1).await;
    site.write("", "/ok/moved");
    site.arrives(&id, "/ok/moved").await;
    site.figure_is("ringback_settings_reloads_total{result=\"taken\"}", 1)
        .await;
}

#[tokio::test]
async fn settings_with_one_mistake_are_refused_as_a_whole_and_the_gateway_goes_on() {
    let mut site = Site::start("/ok/old").await;
    let refused = "ringback_settings_reloads_total{result=\"refused\"}";
    for (round, mistake) in (0_u64..).zip([
        "[ingress]\nworkers = \"many\"",
        "[callees.EO002]\nurl = \"http://u:p@h/\"",
    ]) {
        site.write(mistake, "/ok/new");
        site.hang_up();
        site.figure_is(refused, round + 1).await;
        site.figure_is("ringback_settings_refused", 1).await;
        let id = site.send().await;
        site.arrives(&id, "/ok/old").await;
    }
    let log = site.world.gateway.doors_out()[0].process.log();
    assert!(log.contains("refused as a whole"), "{log}");
    assert!(log.contains("\\\"many\\\" is not a whole number"), "{log}");
    site.write("", "/ok/new");
    site.hang_up();
    site.figure_is("ringback_settings_reloads_total{result=\"taken\"}", 1)
        .await;
    let id = site.send().await;
    site.arrives(&id, "/ok/new").await;
}
