//! Are the house rules kept? Each rule carries its reason; this machine keeps it.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::fs;
use std::path::{Path, PathBuf};

/// More than this is hard to hold in the head.
const MOST_LINES: usize = 360;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
        if path.is_dir() && !hidden && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// Every Rust file of the project, with its text.
fn files() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for directory in ["crates", "tests"] {
        rust_files(&root().join(directory), &mut found);
    }
    assert!(found.len() > 50, "only {} files found", found.len());
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).unwrap());
    found.into_iter().map(read).collect()
}

fn manifest(name: &str) -> String {
    fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap()
}

/// The crates that a manifest permits to its code, tests aside.
fn permitted(name: &str) -> Vec<String> {
    let manifest = manifest(name);
    let section = manifest.split("[dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let names = section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_file_opens_with_the_question_that_it_answers() {
    for (path, text) in files() {
        let head: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        assert!(
            !head.is_empty(),
            "{} does not open with //!",
            path.display()
        );
        let crates = path.to_string_lossy().contains("/crates/");
        let asks = head.iter().any(|line| line.contains('?'));
        let named = ["main.rs", "lib.rs", "tests.rs"]
            .iter()
            .any(|name| path.ends_with(name));
        assert!(
            !crates || named || asks,
            "{} opens without a question",
            path.display()
        );
    }
}

#[test]
fn no_file_is_too_long_to_hold_in_the_head() {
    for (path, text) in files() {
        let lines = text.lines().count();
        assert!(
            lines <= MOST_LINES,
            "{} has {lines} lines: split it by question",
            path.display()
        );
    }
}

#[test]
fn the_pure_crates_can_do_no_io() {
    assert_eq!(
        permitted("contract"),
        ["bytes", "serde", "serde_json", "thiserror", "uuid"]
    );
    assert_eq!(
        permitted("delivery"),
        [
            "base64",
            "hmac",
            "httpdate",
            "ipnet",
            "secrecy",
            "sha2",
            "subtle",
            "thiserror",
            "url"
        ]
    );
    for crate_name in ["contract", "delivery"] {
        for (path, text) in files() {
            if path.components().any(|it| it.as_os_str() == crate_name) {
                for impure in [
                    "std::net::Tcp",
                    "std::net::Udp",
                    "std::fs",
                    "SystemTime::now",
                    "Instant::now",
                ] {
                    let test = path.to_string_lossy().contains("tests");
                    let code = text.split("#[cfg(test)]").next().unwrap();
                    assert!(
                        test || !code.contains(impure),
                        "{} uses {impure}",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn arrows_between_crates_point_one_way() {
    let ours = [
        "contract",
        "delivery",
        "broker",
        "boot",
        "journal",
        "ingress",
        "dispatcher",
        "ringback",
    ];
    for (name, may) in [
        ("contract", &[][..]),
        ("delivery", &["contract"]),
        ("broker", &[]),
        ("journal", &["contract", "delivery"]),
        ("boot", &[]),
        (
            "ingress",
            &["contract", "delivery", "broker", "boot", "journal"],
        ),
        (
            "dispatcher",
            &["contract", "delivery", "broker", "boot", "journal"],
        ),
    ] {
        for dependency in permitted(name) {
            let foreign = !ours.contains(&dependency.as_str());
            assert!(
                foreign || may.contains(&dependency.as_str()),
                "{name} may not use {dependency}"
            );
        }
    }
}

#[test]
fn backoff_and_queue_names_live_in_one_file_each() {
    for (path, text) in files() {
        let shown = path.display().to_string();
        if !shown.contains("/crates/") {
            continue;
        }
        assert!(
            shown.ends_with("rabbitmq/reconnect.rs") || !text.contains("use backoff"),
            "{shown} uses backoff"
        );
        assert!(
            shown.ends_with("rabbitmq/topology.rs") || !text.contains("\"x-dead-letter-exchange\""),
            "{shown} declares queues"
        );
    }
}
