//! The server's plans for the adapter's statements, from its log (`auto_explain`).

use std::fmt::Write as _;
use std::fs;

use journal::{Cursor, Filter, Journal};
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;

use tests::Postgres;

use super::{PAGE, replay_filters};

/// Runs each kind of query once on connections that log their plans.
pub(crate) async fn explain(
    postgres: &Postgres,
    url: &str,
    kinds: &[(&str, Filter, Option<Cursor>)],
    id: Uuid,
    now: u64,
) -> String {
    set(postgres, url, "0").await;
    let journal = Journal::connect(url).expect("a URL of ours");
    let mut plans = String::new();
    let mut read = logged(postgres).len();
    // The first query of a connection also reads the catalogue.
    for name in ["", "by id"] {
        journal.find(id).await.expect("an answer");
        read = append(&mut plans, postgres, name, read);
    }
    for (name, filter, after) in kinds {
        let page = journal.list(filter, *after, PAGE, now).await;
        page.expect("a page");
        read = append(&mut plans, postgres, &format!("page, {name}"), read);
    }
    for (name, filter) in replay_filters() {
        let taken = journal.take_replays(&filter, 100, now).await;
        taken.expect("dead letters");
        read = append(
            &mut plans,
            postgres,
            &format!("100 replays claimed, {name}"),
            read,
        );
    }
    journal.close().await;
    set(postgres, url, "-1").await;
    plans
}

async fn set(postgres: &Postgres, url: &str, duration: &str) {
    let database = url.rsplit('/').next().expect("a path");
    let mut connection = postgres.connect(database).await.expect("a connection");
    let sql = format!("ALTER DATABASE {database} SET auto_explain.log_min_duration = {duration}");
    let done = sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await;
    done.expect("a setting");
    connection.close().await.expect("an end");
}

fn logged(postgres: &Postgres) -> String {
    fs::read_to_string(postgres.directory().join("postgres.log")).expect("the server's log")
}

/// Adds what was logged after `read`; returns the new position.
fn append(plans: &mut String, postgres: &Postgres, name: &str, read: usize) -> usize {
    let log = logged(postgres);
    if !name.is_empty() {
        let _ = writeln!(plans, "--- {name}\n{}", executed(&log[read..]));
    }
    log.len()
}

/// The executed parts of the plans, without partitions that were skipped and without query texts.
/// Of partitions with the same plan only the first is shown.
fn executed(log: &str) -> String {
    let mut shown = String::new();
    let (mut skipped, mut plan) = (None, false);
    let (mut alike, mut last) = (0, None);
    for line in log.lines() {
        if !line.starts_with('\t') {
            plan = false;
            if let Some((_, took)) = line.split_once("duration: ") {
                let _ = writeln!(shown, "{}", took.trim_end_matches("  plan:"));
            }
            continue;
        }
        plan |= line.contains("(cost=");
        let depth = line.len() - line.trim_start().len();
        if !plan || skipped.is_some_and(|skipped| depth > skipped) {
            continue;
        }
        let node = line.contains("(cost=").then(|| (depth, kind(line)));
        let empty = line.contains("(never executed)");
        let again = node.is_some() && node == last;
        skipped = (empty || again).then_some(depth);
        if empty {
            continue;
        }
        if again {
            alike += 1;
            continue;
        }
        if alike > 0 {
            let _ = writeln!(shown, "\t({alike} more partitions alike)");
            alike = 0;
        }
        if node.is_some() {
            last = node;
        }
        let _ = writeln!(shown, "{line}");
    }
    if alike > 0 {
        let _ = writeln!(shown, "\t({alike} more partitions alike)");
    }
    shown
}

/// What a node of a plan does, without the partition.
fn kind(line: &str) -> String {
    let before = line.split("(cost=").next().unwrap_or_default();
    before.chars().filter(|it| !it.is_ascii_digit()).collect()
}
