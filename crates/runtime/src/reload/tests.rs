//! Tests of reloading: settings are taken as a whole, or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::*;
use crate::MetricsRegistry;
use crate::config::NamedSection;

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TestSettings {
    server: ServerSection,
    retry: RetrySection,
    callees: BTreeMap<String, CalleeSection>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ServerSection {
    workers: usize,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RetrySection {
    schedule: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CalleeSection {
    name: Option<String>,
}

impl Config for TestSettings {
    const NAMED_SECTIONS: &'static [NamedSection] = &[NamedSection {
        path: "callees",
        placeholder: "NUMBER",
    }];
    const ORDER: &'static [&'static str] = &[];

    fn validate(&self, _report: &mut dyn FnMut(&str, String)) {}

    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }
}

/// A settings file, and the names of callees that a subscriber has taken from it.
struct Fixture {
    file: PathBuf,
    state: ReloadState<TestSettings>,
    names: Arc<Mutex<Vec<String>>>,
    registry: MetricsRegistry,
    metrics: ReloadMetrics,
}

impl Fixture {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringback-reload-{}-{number}.toml", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, text).unwrap();
        let source = Source::new(Some(file.clone()), std::iter::empty());
        let loaded = source.load().unwrap();
        let mut reload = Reload::new(&loaded, &["callees", "retry.schedule"], false).unwrap();
        let names = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&names);
        reload.subscribe(move |settings: &TestSettings| {
            let names: Vec<String> = settings.callees.keys().cloned().collect();
            let taken = Arc::clone(&taken);
            Ok(Box::new(move || *taken.lock().unwrap() = names))
        });
        reload.subscribe(|settings| match settings.callees.contains_key("bad") {
            true => Err(ConfigError::refused("callees.bad", "it is bad")),
            false => Ok(Box::new(|| {})),
        });
        let registry = MetricsRegistry::new();
        Self {
            file,
            state: reload.state,
            names,
            metrics: registry.add(ReloadMetrics::register),
            registry,
        }
    }

    fn write(&self, text: &str) {
        fs::write(&self.file, text).unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }

    /// Whether the last reload succeeded, and how many have succeeded and failed.
    fn figures(&self) -> [u64; 3] {
        let page = self.registry.encode();
        let figure = |series: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(series));
            line.unwrap().trim().parse().unwrap()
        };
        [
            figure("ringback_config_last_reload_successful "),
            figure("ringback_config_reloads_total{result=\"success\"}"),
            figure("ringback_config_reloads_total{result=\"failure\"}"),
        ]
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

#[test]
fn a_change_counts_once_it_is_stable_and_is_read_once() {
    let mut fixture = Fixture::new("");
    assert!(!fixture.state.has_changed());
    fixture.write("[callees.A]\n");
    assert!(!fixture.state.has_changed(), "it may be half a file");
    assert!(fixture.state.has_changed());
    fixture.state.reload(&fixture.metrics);
    assert_eq!(fixture.names(), ["A"]);
    assert!(!fixture.state.has_changed());
    assert_eq!(fixture.figures(), [1, 1, 0]);
}

#[test]
fn rejected_settings_change_nothing_and_are_reported_once() {
    let mut fixture = Fixture::new("");
    fixture.write("[callees.A]\n");
    fixture.state.reload(&fixture.metrics);
    for rejected in [
        "[callees.B]\n[callees.bad]\n", // By the last subscriber.
        "[callees.B]\nname = 7\n",      // By the deserializer.
        "[callees.B",                   // By TOML.
    ] {
        fixture.write(rejected);
        fixture.state.has_changed();
        assert!(fixture.state.has_changed(), "{rejected}");
        fixture.state.reload(&fixture.metrics);
        assert_eq!(fixture.names(), ["A"], "{rejected}");
        assert!(!fixture.state.has_changed(), "{rejected}");
    }
    assert_eq!(fixture.figures(), [0, 1, 3]);
    let last = fixture.state.last.subscribe();
    let refused = last.borrow().clone().unwrap();
    assert!(refused.at > 0 && refused.refused.is_some(), "{refused:?}");
    fs::remove_file(&fixture.file).unwrap();
    fixture.state.reload(&fixture.metrics);
    assert_eq!(fixture.names(), ["A"]);
    fixture.write("[callees.C]\n");
    fixture.state.has_changed();
    assert!(fixture.state.has_changed());
    fixture.state.reload(&fixture.metrics);
    assert_eq!(fixture.names(), ["C"]);
    assert_eq!(fixture.figures(), [1, 2, 4]);
    let reloaded = last.borrow().clone().unwrap();
    assert_eq!(reloaded.refused, None);
}

#[test]
fn a_key_that_needs_a_restart_is_named_until_it_is_changed_back() {
    let mut fixture = Fixture::new("[server]\nworkers = 1\n");
    let file = "[server]\nworkers = 2\n[retry]\nschedule = \"1s\"\n[callees.A]\nname = \"a\"\n";
    fixture.write(file);
    let ChangedKeys { applied, restart } = fixture.state.try_reload().unwrap();
    assert_eq!(applied, ["callees.A.name", "retry.schedule"]);
    assert_eq!(restart, ["server.workers"]);
    fixture.write("[server]\nworkers = 2\n[retry]\nschedule = \"1s\"\n");
    let ChangedKeys { applied, restart } = fixture.state.try_reload().unwrap();
    assert_eq!(applied, ["callees.A.name"]);
    assert_eq!(restart, ["server.workers"], "it still needs one");
    fixture.write("[server]\nworkers = 1\n");
    let ChangedKeys { applied, restart } = fixture.state.try_reload().unwrap();
    assert_eq!(
        (applied, restart),
        (vec!["retry.schedule".to_owned()], vec![])
    );
}

#[cfg(unix)]
#[test]
fn a_moved_symbolic_link_is_a_change() {
    let mut fixture = Fixture::new("");
    let (old, new) = (
        fixture.file.with_extension("old"),
        fixture.file.with_extension("new"),
    );
    fs::rename(&fixture.file, &old).unwrap();
    fs::write(&new, "[callees.A]\n").unwrap();
    // As a ConfigMap is changed: a link to the new content is moved over the old one.
    for target in [&old, &new] {
        let link = fixture.file.with_extension("link");
        std::os::unix::fs::symlink(target, &link).unwrap();
        fs::rename(&link, &fixture.file).unwrap();
    }
    fixture.state.has_changed();
    assert!(fixture.state.has_changed());
    fixture.state.reload(&fixture.metrics);
    assert_eq!(fixture.names(), ["A"]);
    let _ = (fs::remove_file(old), fs::remove_file(new));
}

#[test]
fn a_section_covers_only_its_keys() {
    for (section, key, covered) in [
        ("callees", "callees.A.url", true),
        ("callees", "calleesx.A", false),
        ("retry.schedule", "retry.schedule", true),
        ("retry.schedule", "retry", false),
    ] {
        assert_eq!(covers(section, key), covered, "{section} {key}");
    }
}
