//! What operators' Prometheus would say of a gateway: its metrics pages before and during a bad state,
//! judged by the alerts that are shipped.
//!
//! - `page.rs`: a metrics page as series
//! - `promtool.rs`: asks the rules and any expression about recorded pages

mod page;
mod promtool;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::gateway::{Gateway, Instance};
use crate::{eventually, http};
use page::Page;
use promtool::{Promtool, Timeline};

/// For how many minutes the state before lasts: longer than the longest window of a rule about events.
const BEFORE_MINUTES: usize = 20;

/// Upper bound for figures that are some seconds old.
const SOON: Duration = Duration::from_secs(60);

/// A process whose metrics are scraped.
#[derive(Debug, Clone)]
struct Scraped {
    address: SocketAddr,
    role: &'static str,
}

/// One scrape of all processes. `None` is a process that did not answer.
type Scrape = BTreeMap<String, Option<Page>>;

/// The metrics pages of a gateway before something happens to it.
#[derive(Debug)]
pub struct MetricsRecording {
    processes: Vec<Scraped>,
    before: Scrape,
    /// The alerts that fire before.
    already: &'static [&'static str],
}

impl MetricsRecording {
    /// Takes the metrics pages of all its processes now.
    ///
    /// # Panics
    /// When one does not answer.
    pub async fn begin(gateway: &Gateway<'_>) -> Self {
        Self::of(gateway.instances()).await
    }

    /// The same of these processes.
    ///
    /// # Panics
    /// When one does not answer.
    pub async fn of(instances: impl Iterator<Item = &Instance>) -> Self {
        Self::at(instances.map(|instance| (instance.metrics, instance.role()))).await
    }

    /// The same of processes with these roles, whose metrics are at these addresses.
    ///
    /// # Panics
    /// When one does not answer.
    pub async fn at(processes: impl Iterator<Item = (SocketAddr, &'static str)>) -> Self {
        let processes: Vec<Scraped> = processes
            .map(|(address, role)| Scraped { address, role })
            .collect();
        let before = scrape(&processes).await;
        let all = before.values().all(Option::is_some);
        assert!(all, "all processes must answer at the beginning");
        Self {
            processes,
            before,
            already: &[],
        }
    }

    /// The alerts that fire before, because of where the test runs.
    #[must_use]
    pub fn already(mut self, alerts: &'static [&'static str]) -> Self {
        self.already = alerts;
        self
    }

    /// Waits until the pages are such that exactly these alerts fire if they stay so for `lasting`, and
    /// before none fires but those of [`Self::already`]. One that is resolved within that time counts.
    ///
    /// Says on standard error that this was not tested where there is no promtool.
    ///
    /// # Panics
    /// When others fire after a minute, too.
    pub async fn fires(&self, alerts: &[&str], lasting: Duration) {
        let Some(promtool) = Promtool::find() else {
            eprintln!(
                "NOT TESTED: which alerts fire. promtool is not installed (Debian: prometheus)"
            );
            return;
        };
        let minutes = usize::try_from(lasting.as_secs() / 60).expect("minutes");
        // A gauge is some seconds old, and a moment of a busy machine is no state.
        eventually("exactly these alerts", SOON, async || {
            let during = scrape(&self.processes).await;
            let asked = |metric: &str| promtool.rules_use(metric);
            let timeline = Timeline::new(&self.before, &during, BEFORE_MINUTES, minutes, asked);
            promtool.check_alerts(&timeline, self.already, alerts)
        })
        .await;
    }

    /// Which of the queries of the dashboards in this directory have no data: the state before, then
    /// the pages as they are now. A query whose every value is not a number has none.
    ///
    /// None where there is no promtool; standard error then says so.
    ///
    /// # Panics
    /// When a dashboard cannot be read.
    pub async fn dashboard_queries_without_data(&self, directory: &Path) -> Option<Vec<String>> {
        let Some(promtool) = Promtool::find() else {
            eprintln!("NOT TESTED: dashboards. promtool is not installed (Debian: prometheus)");
            return None;
        };
        let during = scrape(&self.processes).await;
        let timeline = Timeline::new(&self.before, &during, BEFORE_MINUTES, 5, |_| true);
        let queries = dashboard_queries(directory);
        assert!(!queries.is_empty(), "{directory:?} holds no dashboard");
        Some(promtool.without_data(&timeline, &queries))
    }
}

async fn scrape(processes: &[Scraped]) -> Scrape {
    let client = http::client();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a time after 1970").as_secs_f64();
    let mut pages = BTreeMap::new();
    for process in processes {
        let url = format!("http://{}/metrics", process.address);
        let text = match client.get(url).send().await {
            Ok(answer) => answer.text().await.ok(),
            Err(_) => None,
        };
        // The labels that Prometheus adds, as in our scrape settings.
        let labels = format!(
            r#"job="ringback",instance="{}",role="{}""#,
            process.address, process.role
        );
        let page = text.map(|text| Page::parse(&text, &labels, now));
        pages.insert(labels, page);
    }
    pages
}

/// The queries of all panels, with Grafana's variables replaced.
fn dashboard_queries(directory: &Path) -> Vec<String> {
    let mut queries = Vec::new();
    let files = std::fs::read_dir(directory).expect("the directory of dashboards");
    for file in files {
        let path = file.expect("a file").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = std::fs::read_to_string(&path).expect("a dashboard");
            let board: Value = serde_json::from_str(&text).expect("JSON");
            add_queries(&board, &mut queries);
        }
    }
    queries.sort();
    queries.dedup();
    queries
}

fn add_queries(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| add_queries(value, queries)),
        Value::Object(fields) => {
            if let Some(Value::String(query)) = fields.get("expr") {
                queries.push(without_variables(query));
            }
            fields
                .values()
                .for_each(|value| add_queries(value, queries));
        }
        _ => {}
    }
}

/// `$__rate_interval` is a time, any other variable stands in a regular expression.
fn without_variables(query: &str) -> String {
    let mut rest = query.replace("$__rate_interval", "5m");
    while let Some(at) = rest.find('$') {
        let name =
            rest[at + 1..].find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let end = name.map_or(rest.len(), |length| at + 1 + length);
        rest.replace_range(at..end, ".*");
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_grafana_are_replaced() {
        let query = r#"sum(rate(x{app=~"$app|other"}[$__rate_interval]))"#;
        let replaced = r#"sum(rate(x{app=~".*|other"}[5m]))"#;
        assert_eq!(without_variables(query), replaced);
    }
}
