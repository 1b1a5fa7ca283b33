//! The documents agree with the repository: links resolve and named files exist.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Markdown page of the repository, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut found: Vec<PathBuf> = ["README.md", "README.zh-CN.md", "deploy/README.md"]
        .map(|page| root.join(page))
        .to_vec();
    let mut folders = vec![root.join("docs"), root.join(".github")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    found.into_iter().map(read).collect()
}

/// The text without code blocks, whose brackets are no links.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// The targets of all inline links.
fn links(text: &str) -> Vec<String> {
    prose(text)
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// What is between backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_link_between_pages_leads_to_a_page_and_a_heading() {
    let pages = pages();
    let by_path: BTreeMap<PathBuf, &str> = pages
        .iter()
        .map(|(path, text)| (path.canonicalize().unwrap(), text.as_str()))
        .collect();
    let mut broken = Vec::new();
    for (path, text) in &pages {
        for link in links(text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            let Ok(target) = target.canonicalize() else {
                broken.push(format!("{}: {link}", path.display()));
                continue;
            };
            let known = by_path
                .get(&target)
                .is_none_or(|text| anchor.is_empty() || anchors(text).contains(anchor));
            if !known {
                broken.push(format!("{}: {link} (no such heading)", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_that_a_page_names_exists() {
    let mut missing = Vec::new();
    for (path, text) in pages() {
        // What was is told there.
        if path.ends_with("docs/changelog.md") || path.to_string_lossy().contains("benchmarks/") {
            continue;
        }
        for span in code_spans(&prose(&text)) {
            let named = ["crates/", "tests/", "deploy/", "docs/"]
                .iter()
                .any(|top| span.starts_with(top));
            let plain = span
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if named && plain && !root().join(span).exists() {
                missing.push(format!("{}: {span}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The addresses that a command line sets: section and port.
fn listeners(command: &str) -> Vec<(String, u16)> {
    let words = command.split_whitespace();
    let variables = words.filter_map(|word| word.strip_prefix("RINGBACK__"));
    let addresses = variables.filter_map(|rest| rest.split_once("__LISTEN=127.0.0.1:"));
    addresses
        .map(|(section, port)| (section.to_owned(), port.parse().unwrap()))
        .collect()
}

#[test]
fn roles_on_one_machine_do_not_collide_with_each_other_or_with_serve() {
    let text = fs::read_to_string(root().join("docs/guides/moving.md")).unwrap();
    let (_, text) = text.split_once("## All on one machine").unwrap();
    let (_, text) = text.split_once("```sh\n").unwrap();
    let (block, rest) = text.split_once("```").unwrap();
    let block = block.replace("\\\n", " ");
    // Those of a `serve` as shipped.
    let mut ports = BTreeSet::from([5106, 5109, 5110]);
    for (role, sections) in [
        ("ingress", &["INGRESS", "METRICS"][..]),
        ("dispatcher", &["DISPATCHER", "ADMIN", "METRICS"]),
    ] {
        let called = format!("ringback {role} ");
        let command = block.lines().find(|line| line.contains(&called)).unwrap();
        let listeners = listeners(command);
        let found: Vec<&str> = listeners.iter().map(|(section, _)| &**section).collect();
        assert_eq!(found, sections, "{role} opens these: {command}");
        for (section, port) in listeners {
            assert!(ports.insert(port), "{role} {section}: {port} is taken");
            assert!(
                rest.contains(&format!(" {port} ")),
                "{port} is not in the table"
            );
        }
    }
}
