//! House rules of the workspace. Each guards the design, and says so when it is broken.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

#[path = "tidy/dialect.rs"]
mod dialect;
#[path = "tidy/import_cycles.rs"]
mod import_cycles;
#[path = "tidy/log_fields.rs"]
mod log_fields;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/type_names.rs"]
mod type_names;

use std::fs;
use std::path::PathBuf;

use import_cycles::{Accepted, ModuleTree};
use source::{files_below, root};

/// The crates of the product, each after those that it may use.
const CRATES: [&str; 9] = [
    "contract",
    "delivery",
    "broker",
    "runtime",
    "journal",
    "ingress",
    "dispatcher",
    "admin",
    "ringback",
];

/// Accepted edges of import cycles, by crate, with the reason.
const ACCEPTED_IMPORTS: [(&str, &[Accepted], &str); 0] = [];

/// Every Rust file below these directories, with its text.
fn rust_files(directories: &[&str]) -> Vec<(PathBuf, String)> {
    let below = |directory: &&str| files_below(&root().join(directory));
    let mut found: Vec<PathBuf> = directories.iter().flat_map(below).collect();
    found.retain(|path| path.extension().is_some_and(|it| it == "rs"));
    assert!(found.len() > 50, "only {} files found", found.len());
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).unwrap());
    found.into_iter().map(read).collect()
}

/// The path of a file from the root of the workspace.
fn shown(path: &std::path::Path) -> String {
    let root = root();
    let path = path.strip_prefix(&root).unwrap_or(path);
    path.display().to_string()
}

/// The dependencies in a crate's manifest, without those of tests.
fn dependencies(name: &str) -> Vec<String> {
    let manifest = root().join("crates").join(name).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let Some((_, section)) = manifest.split_once("\n[dependencies]") else {
        return Vec::new();
    };
    let section = section.split("\n[").next().unwrap();
    let names = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['.', ' ', '=']).next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_top_level_is_fixed() {
    let allowed = [
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "README.zh-CN.md",
        "crates",
        "deploy",
        "docker-compose.yml",
        "docs",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let known = name.starts_with('.') || allowed.contains(&&*name);
        assert!(known, "{name} does not belong at the top level");
    }
}

#[test]
fn every_rust_file_says_what_it_is() {
    for (path, text) in rust_files(&["crates", "tests"]) {
        let shown = shown(&path);
        assert!(text.starts_with("//!"), "{shown} does not open with //!");
    }
}

#[test]
fn the_pure_crates_can_do_no_io() {
    let contract = ["bytes", "serde", "serde_json", "thiserror", "time", "uuid"];
    let delivery = [
        "base64",
        "contract",
        "hmac",
        "httpdate",
        "humantime",
        "humantime-serde",
        "ipnet",
        "secrecy",
        "serde",
        "serde_with",
        "sha2",
        "subtle",
        "thiserror",
        "url",
    ];
    for (name, pure) in [("contract", &contract[..]), ("delivery", &delivery)] {
        for dependency in dependencies(name) {
            let allowed = pure.contains(&&*dependency);
            assert!(allowed, "{name} is pure and may not use {dependency}");
        }
        let directory = format!("crates/{name}/src");
        for (path, text) in rust_files(&["crates"]) {
            let shown = shown(&path);
            let tests = shown.contains("tests") || shown.contains("conformance");
            if !shown.starts_with(&directory) || tests {
                continue;
            }
            let code = source::code(&text);
            for impure in [
                "std::net::Tcp",
                "std::net::Udp",
                "std::fs",
                "SystemTime::now",
                "Instant::now",
                "OffsetDateTime::now",
            ] {
                assert!(!code.contains(impure), "{shown} uses {impure}");
            }
        }
    }
}

#[test]
fn arrows_between_crates_point_one_way() {
    let below_ingress = ["contract", "delivery", "broker", "runtime", "journal"];
    let below_admin = [&below_ingress[..], &["ingress", "dispatcher"]].concat();
    let below_ringback = [&below_admin[..], &["admin"]].concat();
    for (name, allowed) in [
        ("contract", &[][..]),
        ("delivery", &["contract"]),
        ("broker", &[]),
        ("runtime", &[]),
        ("journal", &["contract", "delivery"]),
        ("ingress", &below_ingress),
        ("dispatcher", &below_ingress),
        ("admin", &below_admin),
        ("ringback", &below_ringback),
    ] {
        for dependency in dependencies(name) {
            let foreign = !CRATES.contains(&&*dependency);
            let allowed = allowed.contains(&&*dependency);
            assert!(foreign || allowed, "{name} may not use {dependency}");
        }
    }
}

#[test]
fn fail_points_are_compiled_in_only_when_asked_for() {
    for name in CRATES {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        assert!(
            !manifest.contains("default = ["),
            "{name} has default features"
        );
        let enables = manifest.contains("failpoints/enabled");
        assert_eq!(enables, name == "ringback", "{name} and the fail points");
    }
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_cycle() {
    let mut found = Vec::new();
    for name in CRATES {
        let accepted = ACCEPTED_IMPORTS
            .iter()
            .filter(|(crate_, _, _)| *crate_ == name);
        let accepted: Vec<&Accepted> = accepted.flat_map(|(_, edges, _)| *edges).collect();
        for file in ["lib.rs", "main.rs"] {
            let file = root().join("crates").join(name).join("src").join(file);
            if !file.exists() {
                continue;
            }
            let tree = ModuleTree::read(&file);
            for edge in &accepted {
                let Accepted { from, to } = edge;
                let exists = tree.has(edge);
                assert!(
                    exists,
                    "{name}: {from} no longer imports {to}: remove it from the list"
                );
            }
            let accepted: Vec<Accepted> = accepted
                .iter()
                .map(|Accepted { from, to }| Accepted { from, to })
                .collect();
            for cycle in tree.cycles(&accepted) {
                let files: Vec<String> = cycle.iter().map(|it| it.display().to_string()).collect();
                found.push(format!("{name}: {} -> {}", files.join(" -> "), files[0]));
            }
        }
    }
    assert!(found.is_empty(), "import cycles:\n{}", found.join("\n"));
}

#[test]
fn each_visible_type_name_is_defined_once() {
    let files = rust_files(&["crates", "tests/harness"]);
    let files: Vec<(String, &str)> = files
        .iter()
        .map(|(path, text)| (shown(path), &**text))
        .filter(|(shown, _)| !shown.contains("/tests") || shown.starts_with("tests/"))
        .collect();
    let found = type_names::duplicates(files.iter().map(|(shown, text)| (&**shown, *text)));
    let lines: Vec<String> = found
        .iter()
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(
        lines.is_empty(),
        "type names defined more than once:\n{}",
        lines.join("\n")
    );
}

#[test]
fn no_word_of_the_old_dialect_is_left() {
    let texts = [
        "conf", "css", "html", "js", "json", "md", "py", "rs", "service", "sh", "sql", "toml",
        "yaml", "yml",
    ];
    let exempt = [
        // They tell what was.
        "docs/changelog.md",
        "docs/decisions/",
        // They hold the list.
        "tests/tidy",
        // They read formats of the time before.
        "crates/broker/src/embedded/store/schema.rs",
        "crates/contract/golden/message-v1-",
        "crates/contract/src/queue/tests.rs",
        "crates/contract/src/queue/v1.rs",
        "crates/journal/golden/records-v1.json",
        "crates/journal/src/model/batch.rs",
        "crates/journal/src/model/record.rs",
        "docs/reference/queue-message.md",
        "tests/e2e/delivery/rescue.rs",
        "docs/guides/replay.md",
        // They are others'.
        "crates/admin/src/console/vendor/",
    ];
    let mut found = Vec::new();
    for directory in ["crates", "deploy", "docs", "tests"] {
        for path in files_below(&root().join(directory)) {
            let extension = path.extension().map(|it| it.to_string_lossy().into_owned());
            let text = extension.is_none_or(|it| texts.contains(&&*it));
            let shown = shown(&path);
            if !text || exempt.iter().any(|begin| shown.starts_with(begin)) {
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            for (number, line) in (1..).zip(text.lines()) {
                let words = dialect::words_in(line);
                if !words.is_empty() {
                    found.push(format!("{shown}:{number}: {}", words.join(", ")));
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} lines:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn backoff_and_queue_names_live_in_one_file_each() {
    for (path, text) in rust_files(&["crates"]) {
        let shown = shown(&path);
        assert!(
            shown.ends_with("rabbitmq/reconnect.rs") || !text.contains("use backoff"),
            "{shown} uses backoff"
        );
        assert!(
            shown.contains("rabbitmq/topology") || !text.contains("\"x-dead-letter-exchange\""),
            "{shown} declares queues"
        );
    }
}

#[test]
fn the_reference_of_logs_lists_every_field() {
    let page = fs::read_to_string(root().join("docs/reference/logs.md")).unwrap();
    let mut missing = Vec::new();
    for (path, text) in rust_files(&["crates"]) {
        // Events of unit tests.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for field in log_fields::log_fields(text) {
            if !page.contains(&format!("`{field}`")) {
                missing.push(format!("{field} ({})", shown(&path)));
            }
        }
    }
    assert_eq!(missing, [] as [String; 0]);
}
