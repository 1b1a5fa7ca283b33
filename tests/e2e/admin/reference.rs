//! The references of settings, metrics and commands list what the program has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tests::{
    BrokerKind, BrokerUnderTest, Gateway, GatewayOptions, GatewayRole, on_shared_runtime, process,
};

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
        .filter(|name| name.starts_with("ringback_") || name.starts_with("process_"))
        .filter(|name| !name.contains(' '))
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

/// The rows of the table of label values that hold for the broker under test: metric, label, values.
fn documented_values(page: &str) -> Vec<(String, String, Vec<String>)> {
    let (_, section) = page.split_once("\n## Label values\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let spans = |cell: &str| -> Vec<String> {
        let spans = cell.split('`').skip(1).step_by(2);
        spans.map(str::to_owned).collect()
    };
    let row = |row: &str| {
        let cells: Vec<&str> = row.split('|').collect();
        let metric = cells[0].trim().trim_end_matches('`').to_owned();
        (metric, spans(cells[1]).remove(0), spans(cells[2]))
    };
    let is_rabbitmq = BrokerKind::chosen() == BrokerKind::RabbitMq;
    let counted = rows.filter(|row| is_rabbitmq || !row.contains("with RabbitMQ"));
    counted.map(row).collect()
}

#[test]
fn a_fresh_process_shows_every_documented_label_value_at_zero() {
    on_shared_runtime(check_label_values());
}

async fn check_label_values() {
    let options = GatewayOptions::default().with_journal();
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let mut lines = BTreeSet::new();
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        lines.extend(gateway.metrics(role).await.lines().map(str::to_owned));
    }
    let rows = documented_values(&page("metrics.md"));
    assert!(rows.len() > 12, "{rows:?}");
    let of_admin = "ringback_operator_auth_failures_total";
    // The connections of those who asked whether the process is ready.
    let has_happened = "ringback_http_connections_closed_total";
    let mut checked = 0;
    for (metric, label, values) in &rows {
        let series = lines
            .iter()
            // Of a histogram, the number of what it has seen.
            .filter(|line| {
                let mut ends = ["", "_count"].iter();
                ends.any(|end| line.starts_with(&format!("{metric}{end}{{")))
            });
        let series: Vec<&String> = series.collect();
        assert!(!series.is_empty() || metric == of_admin, "{metric}");
        for line in &series {
            let is_zero = line.ends_with("} 0") || metric == has_happened;
            assert!(is_zero, "{line}");
            let is_documented = |value: &String| line.contains(&format!("{label}=\"{value}\""));
            let is_delay = line.contains("queue=\"delay.");
            assert!(values.iter().any(is_documented) || is_delay, "{line}");
        }
        // Each value with each value of the metric's other label.
        let others = rows
            .iter()
            .filter(|row| row.0 == *metric && row.1 != *label);
        let others: usize = others.map(|row| row.2.len()).product();
        for value in values.iter().filter(|_| metric != of_admin) {
            let with = format!("{label}=\"{value}\"");
            let found = series.iter().filter(|line| line.contains(&with)).count();
            assert!(found >= others, "{metric}: {with}");
            checked += 1;
        }
    }
    assert!(checked > 80, "{checked}");
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
