//! Are new settings taken as a whole, or not at all?

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A settings file, and what a user of the settings has made of it.
struct Site {
    file: PathBuf,
    state: State,
    holds: Arc<Mutex<Vec<String>>>,
    metrics: Metrics,
}

impl Site {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringback-reload-{}-{number}.toml", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, text).unwrap();
        let source = Source::new(Some(file.clone()), std::iter::empty());
        let loaded = source.load().unwrap();
        let mut reload = Reload::new(&loaded, &["callees", "retry.schedule"], false).unwrap();
        let holds = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::clone(&holds);
        reload.tell(move |settings| {
            let numbers: Vec<String> = settings.callees.keys().cloned().collect();
            let held = Arc::clone(&held);
            Ok(Box::new(move || *held.lock().unwrap() = numbers))
        });
        // The last one asked.
        reload.tell(|settings| match settings.callees.contains_key("bad") {
            true => Err(SettingsError::refused("callees.bad", "it is bad")),
            false => Ok(Box::new(|| {})),
        });
        Self {
            file,
            state: reload.state,
            holds,
            metrics: Metrics::new(),
        }
    }

    fn write(&self, text: &str) {
        fs::write(&self.file, text).unwrap();
    }

    fn holds(&self) -> Vec<String> {
        self.holds.lock().unwrap().clone()
    }

    /// The figures: refused now, taken so far, refused so far.
    fn figures(&self) -> [u64; 3] {
        let page = self.metrics.encode();
        let figure = |series: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(series));
            line.unwrap().trim().parse().unwrap()
        };
        [
            figure("ringback_settings_refused "),
            figure("ringback_settings_reloads_total{result=\"taken\"}"),
            figure("ringback_settings_reloads_total{result=\"refused\"}"),
        ]
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

#[test]
fn a_change_counts_when_it_looks_the_same_twice_and_is_read_once() {
    let mut site = Site::new("");
    assert!(!site.state.has_changed());
    site.write("[callees.A]\n");
    assert!(!site.state.has_changed(), "it may be half a file");
    assert!(site.state.has_changed());
    site.state.again(&site.metrics);
    assert_eq!(site.holds(), ["A"]);
    assert!(!site.state.has_changed());
    assert_eq!(site.figures(), [0, 1, 0]);
}

#[test]
fn what_is_refused_changes_nothing_and_is_told_once() {
    let mut site = Site::new("");
    site.write("[callees.A]\n");
    site.state.again(&site.metrics);
    for refused in [
        "[callees.B]\n[callees.bad]\n", // By the last user.
        "[callees.B]\nname = 7\n",      // By the reader of a value.
        "[callees.B",                   // By TOML.
    ] {
        site.write(refused);
        site.state.has_changed();
        assert!(site.state.has_changed(), "{refused}");
        site.state.again(&site.metrics);
        assert_eq!(site.holds(), ["A"], "{refused}");
        assert!(!site.state.has_changed(), "{refused}");
    }
    assert_eq!(site.figures(), [1, 1, 3]);
    fs::remove_file(&site.file).unwrap();
    site.state.again(&site.metrics);
    assert_eq!(site.holds(), ["A"]);
    site.write("[callees.C]\n");
    site.state.has_changed();
    assert!(site.state.has_changed());
    site.state.again(&site.metrics);
    assert_eq!(site.holds(), ["C"]);
    assert_eq!(site.figures(), [0, 2, 4]);
}

#[test]
fn what_needs_a_restart_is_named_until_it_is_as_it_was() {
    let mut site = Site::new("[ingress]\nworkers = 1\n");
    let file = "[ingress]\nworkers = 2\n[retry]\nschedule = \"1s\"\n[callees.A]\nname = \"a\"\n";
    site.write(file);
    let Changes { live, restart } = site.state.read_again().unwrap();
    assert_eq!(live, ["callees.A.name", "retry.schedule"]);
    assert_eq!(restart, ["ingress.workers"]);
    site.write("[ingress]\nworkers = 2\n[retry]\nschedule = \"1s\"\n");
    let Changes { live, restart } = site.state.read_again().unwrap();
    assert_eq!(live, ["callees.A.name"]);
    assert_eq!(restart, ["ingress.workers"], "it still needs one");
    site.write("[ingress]\nworkers = 1\n");
    let Changes { live, restart } = site.state.read_again().unwrap();
    assert_eq!((live, restart), (vec!["retry.schedule".to_owned()], vec![]));
}

#[cfg(unix)]
#[test]
fn a_link_that_moves_is_a_change() {
    let mut site = Site::new("");
    let (old, new) = (
        site.file.with_extension("old"),
        site.file.with_extension("new"),
    );
    fs::rename(&site.file, &old).unwrap();
    fs::write(&new, "[callees.A]\n").unwrap();
    // As a ConfigMap is changed: a link to the new content is moved over the old one.
    for target in [&old, &new] {
        let link = site.file.with_extension("link");
        std::os::unix::fs::symlink(target, &link).unwrap();
        fs::rename(&link, &site.file).unwrap();
    }
    site.state.has_changed();
    assert!(site.state.has_changed());
    site.state.again(&site.metrics);
    assert_eq!(site.holds(), ["A"]);
    let _ = (fs::remove_file(old), fs::remove_file(new));
}

#[test]
fn a_section_covers_its_keys_and_no_others() {
    for (live, key, covered) in [
        ("callees", "callees.A.url", true),
        ("callees", "calleesx.A", false),
        ("retry.schedule", "retry.schedule", true),
        ("retry.schedule", "retry", false),
    ] {
        assert_eq!(covers(live, key), covered, "{live} {key}");
    }
}
