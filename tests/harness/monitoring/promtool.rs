//! Asks promtool, the test tool of Prometheus, about recorded pages: which of our alerts fire, and which
//! queries have data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Page, Scrape};
use crate::cleanup::TempDirectory;

/// Series that stay as before for a time, then as during: as promtool writes them.
#[derive(Debug)]
pub(super) struct Timeline {
    series: Vec<Value>,
    before: usize,
    during: usize,
}

impl Timeline {
    /// One sample a minute, of the metrics that are asked for.
    pub(super) fn new(
        before: &Scrape,
        during: &Scrape,
        minutes: usize,
        lasting: usize,
        is_asked_for: impl Fn(&str) -> bool,
    ) -> Self {
        let mut series = Vec::new();
        for (labels, first) in before {
            let then = during.get(labels).and_then(Option::as_ref);
            let up = |page: Option<&Page>| Some(f64::from(u8::from(page.is_some())));
            let mut add = |name: &str, first: Option<f64>, then: Option<f64>| {
                let values = format!("{} {}", held(first, minutes), held(then, lasting));
                series.push(json!({"series": name, "values": values}));
            };
            let first = first.as_ref();
            add(&format!("up{{{labels}}}"), up(first), up(then));
            let names = first.into_iter().chain(then).flat_map(|page| page.0.keys());
            let metric =
                |series: &String| is_asked_for(series.split('{').next().unwrap_or_default());
            for name in names.filter(|name| metric(name)).collect::<BTreeSet<_>>() {
                let value = |page: Option<&Page>| page.and_then(|page| page.0.get(name).copied());
                let (first, then) = (value(first), value(then));
                add(
                    name,
                    at_minute(name, first, 0),
                    at_minute(name, then, minutes),
                );
            }
        }
        Self {
            series,
            before: minutes,
            during: lasting,
        }
    }
}

/// A point in time that was read as a distance from its scrape: seconds since promtool's minute 0.
fn at_minute(name: &str, value: Option<f64>, minutes: usize) -> Option<f64> {
    let is_time = name.contains("_timestamp_seconds{") || name.starts_with("process_start_time");
    let minutes = u32::try_from(minutes).expect("minutes");
    let since = if is_time {
        60.0 * f64::from(minutes)
    } else {
        0.0
    };
    value.map(|value| value + since)
}

/// The same value for this many minutes; nothing of a series that is not there.
fn held(value: Option<f64>, minutes: usize) -> String {
    let more = minutes - 1;
    value.map_or_else(|| format!("_x{minutes}"), |value| format!("{value}x{more}"))
}

/// promtool, and the rules that are shipped.
#[derive(Debug)]
pub(super) struct Promtool {
    program: PathBuf,
    rules: PathBuf,
    rules_text: String,
}

impl Promtool {
    /// None where it is not installed, and not where `tests/check-monitoring` unpacks it.
    pub(super) fn find() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| root.join("target"));
        let unpacked = target.join("monitoring/usr/bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .chain([unpacked])
            .map(|directory| directory.join("promtool"))
            .find(|program| program.is_file())?;
        let rules = root.join("deploy/monitoring/prometheus/rules/ringback.yml");
        let rules_text = std::fs::read_to_string(&rules).expect("the rules");
        Some(Self {
            program,
            rules,
            rules_text,
        })
    }

    /// Whether the rules ask for this metric. All others only cost time.
    pub(super) fn rules_use(&self, metric: &str) -> bool {
        self.rules_text.contains(metric)
    }

    /// Whether exactly these alerts fire before, and exactly these during; else what promtool says.
    pub(super) fn check_alerts(
        &self,
        timeline: &Timeline,
        before: &[&str],
        during: &[&str],
    ) -> Result<(), String> {
        let firing = r#"ALERTS{alertstate="firing"}"#;
        let lasting = timeline.during;
        let end = timeline.before + timeline.during - 1;
        let asked = json!([
            {
                "expr": format!("group by (alertname) ({firing})"),
                "eval_time": format!("{}m", timeline.before - 1),
                "exp_samples": alert_samples(before),
            },
            {
                "expr": format!("group by (alertname) (max_over_time({firing}[{lasting}m]))"),
                "eval_time": format!("{end}m"),
                "exp_samples": alert_samples(during),
            },
        ]);
        let expected = || format!("expected {before:?} before, exactly {during:?} during:\n");
        self.test(timeline, &asked)
            .map_err(|said| expected() + &said)
    }

    /// The queries that have no data in the minute after the change, when a counter's rate is known.
    pub(super) fn without_data(&self, timeline: &Timeline, queries: &[String]) -> Vec<String> {
        let at = format!("{}m", timeline.before + 1);
        let mut asked = BTreeMap::new();
        for query in queries {
            // A value that is not a number does not equal itself.
            let expr = format!("count(({query}) == ({query})) > bool 0");
            let samples = json!([{"labels": "{}", "value": 1}]);
            asked.insert(
                query.clone(),
                json!({"expr": expr, "eval_time": at, "exp_samples": samples}),
            );
        }
        let all = Value::Array(asked.values().cloned().collect());
        match self.test(timeline, &all) {
            Ok(()) => Vec::new(),
            Err(said) => {
                let is_named = |asked: &Value| {
                    let expr = asked["expr"].as_str().unwrap_or_default();
                    said.contains(&format!("expr: {expr:?}, time"))
                };
                let named = asked.into_iter().filter(|(_, asked)| is_named(asked));
                let named: Vec<String> = named.map(|(query, _)| query).collect();
                assert!(!named.is_empty(), "{said}");
                named
            }
        }
    }

    fn test(&self, timeline: &Timeline, asked: &Value) -> Result<(), String> {
        let test = json!({
            "rule_files": [self.rules.display().to_string()],
            "evaluation_interval": "1m",
            "tests": [{
                "interval": "1m",
                "input_series": timeline.series,
                "promql_expr_test": asked,
            }],
        });
        let temp = TempDirectory::new("promtool");
        // JSON is YAML.
        let file = temp.path().join("recorded.yml");
        std::fs::write(&file, test.to_string()).expect("a file");
        let run = Command::new(&self.program)
            .args(["test", "rules"])
            .arg(&file)
            .output()
            .expect("promtool runs");
        if run.status.success() {
            return Ok(());
        }
        let said = [run.stdout, run.stderr].concat();
        Err(String::from_utf8_lossy(&said).into_owned())
    }
}

fn alert_samples(alerts: &[&str]) -> Vec<Value> {
    let samples = alerts.iter().map(|alert| {
        let labels = format!(r#"{{alertname="{alert}"}}"#);
        json!({"labels": labels, "value": 1})
    });
    samples.collect()
}
