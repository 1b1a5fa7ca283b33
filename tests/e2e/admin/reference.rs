//! The references of settings, metrics and commands list what the program has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tests::{BrokerUnderTest, Gateway, GatewayOptions, GatewayRole, on_shared_runtime, process};

fn page(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// The code spans in the first column of all tables.
fn first_column(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split_once(" |")).map(|row| row.0);
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

/// The keys that `ringback config` prints, names replaced by their placeholder.
fn printed_settings() -> BTreeSet<String> {
    let token = format!("sha256:{}", "0".repeat(64));
    let output = Command::new(process::binary())
        .arg("config")
        .env_clear()
        .env("RINGBACK__APPS__ID__DISABLED", "true")
        .env("RINGBACK__CALLEES__NO__PAUSED", "true")
        .env("RINGBACK__ADMIN__TOKENS__NAME__HASH", token)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').replace('"', "");
        } else if let Some(key) = line.trim_start_matches("# ").split(' ').next()
            && !key.is_empty()
        {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn the_configuration_reference_lists_every_setting() {
    let documented = first_column(&page("configuration.md"));
    let printed = printed_settings();
    assert!(printed.len() > 80, "{printed:?}");
    assert_eq!(documented, printed);
}

#[test]
fn the_command_line_reference_lists_every_command() {
    let output = Command::new(process::binary())
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.split("\n\n").next().unwrap();
    let names: BTreeSet<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() > 15, "{help}");
    let documented = first_column(&page("cli.md"));
    let documented: BTreeSet<&str> = documented
        .iter()
        .map(|command| command.strip_prefix("ringback ").unwrap_or(command))
        .filter_map(|command| command.split(' ').next())
        .collect();
    let missing: Vec<_> = names.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
    let subcommands = [
        "list",
        "show",
        "retry-now",
        "cancel",
        "replay",
        "discard",
        "reconcile",
        "requeue",
    ];
    let unknown = documented.difference(&names);
    let unknown: Vec<_> = unknown.filter(|name| !subcommands.contains(name)).collect();
    assert!(unknown.is_empty(), "not in the program: {unknown:?}");
}

#[test]
fn the_metrics_reference_lists_every_metric() {
    on_shared_runtime(check_metrics_reference());
}

async fn check_metrics_reference() {
    let options = GatewayOptions::default().with_journal();
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let mut exposed = BTreeSet::new();
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        for line in gateway.metrics(role).await.lines() {
            if let Some((name, kind)) = line
                .strip_prefix("# TYPE ")
                .and_then(|rest| rest.split_once(' '))
            {
                let suffix = if kind == "counter" { "_total" } else { "" };
                exposed.insert(format!("{name}{suffix}"));
            }
        }
    }
    let documented: BTreeSet<String> = first_column(&page("metrics.md"))
        .into_iter()
        .filter(|name| name.starts_with("ringback_") && !name.contains(' '))
        .collect();
    let missing: Vec<_> = exposed.difference(&documented).collect();
    assert!(exposed.len() > 20 && missing.is_empty(), "{missing:?}");
    // A family without a series is not exposed: its name must be registered in the program.
    let sources = sources();
    let unknown: Vec<_> = documented
        .difference(&exposed)
        .filter(|name| {
            let name = name
                .trim_start_matches("ringback_")
                .trim_end_matches("_total")
                .trim_end_matches("_seconds");
            !sources.contains(&format!("\"{name}\""))
        })
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The text of all source files of the program.
fn sources() -> String {
    let mut text = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}
