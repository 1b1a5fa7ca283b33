//! How fast is a journal of millions in PostgreSQL? Answers of the adapter, the server's plans for
//! its statements, and a step of the retention while others write and read.

mod generate;
mod plans;
mod retention;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use journal::{Cursor, Filter, Journal, Status};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::Figures;
use crate::Postgres;

const DAY: u64 = 24 * 60 * 60 * 1000;
/// As many callbacks as a page of the product shows.
const PAGE: u32 = 50;
const FINDS: usize = 2000;
/// Each kind of page is asked for so often, but no longer than [`PATIENCE`].
const PAGES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The times.
    pub figures: Figures,
    /// What the server did for each kind of question, in its own words.
    pub plans: String,
}

/// Generates so many callbacks over 31 days in a private server, and asks. Takes half a
/// minute and a GB of disk for each million.
pub async fn measure(callbacks: u64) -> Report {
    let postgres = Postgres::start_with(&[
        "shared_buffers=1GB",
        "maintenance_work_mem=256MB",
        "max_wal_size=2GB",
        "checkpoint_timeout=15min",
        "session_preload_libraries=auto_explain",
        "auto_explain.log_analyze=on",
        "auto_explain.log_buffers=on",
    ])
    .await;
    let url = postgres.database().await;
    let journal = Journal::connect(&url).expect("a URL of ours");
    journal.migrate().await.expect("tables");
    let mut figures = Figures::default();
    let now = now();
    let begun = Instant::now();
    generate::fill(&journal, &url, callbacks, now).await;
    figures.add("callbacks generated", "", callbacks as f64);
    figures.add("generated in", "s", begun.elapsed().as_secs_f64());
    figures.add("on disk", "GB", size(&url).await);
    let some = generate::some_ids(&url).await;
    time_finds(&journal, &some, &mut figures).await;
    for (name, filter, after) in kinds(now, &some) {
        time_pages(&journal, name, &filter, after, now, &mut figures).await;
    }
    time_counts(&journal, now, &mut figures).await;
    retention::step(&journal, now, &mut figures).await;
    // A day that holds a replay does not go, so that comes last.
    time_replays(&journal, now, &mut figures).await;
    let plans = plans::explain(&postgres, &url, &kinds(now, &some), some[0], now).await;
    journal.close().await;
    Report { figures, plans }
}

/// Each kind of filter, with names that are common among the generated and names that are rare.
fn kinds(now: u64, some: &[Uuid]) -> Vec<(&'static str, Filter, Option<Cursor>)> {
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let deep = some.iter().min().copied().map(Cursor);
    let common_callee = || Filter {
        callee_no: text("T001"),
        ..none()
    };
    let of_status = |status| Filter {
        status: Some(status),
        ..none()
    };
    let mut kinds = vec![
        ("all", none(), None),
        ("all, far behind", none(), deep),
        (
            "app",
            Filter {
                app_id: text("app1"),
                ..none()
            },
            None,
        ),
        (
            "rare app",
            Filter {
                app_id: text("rare"),
                ..none()
            },
            None,
        ),
        ("callee", common_callee(), None),
        ("callee, far behind", common_callee(), deep),
        (
            "rare callee",
            Filter {
                callee_no: text("rare"),
                ..none()
            },
            None,
        ),
        (
            "target",
            Filter {
                target: text("https://t1.example:443"),
                ..none()
            },
            None,
        ),
        (
            "rare target",
            Filter {
                target: text("https://rare.example:443"),
                ..none()
            },
            None,
        ),
        (
            "message type",
            Filter {
                message_type: text("type1"),
                ..none()
            },
            None,
        ),
        (
            "rare message type",
            Filter {
                message_type: text("rare"),
                ..none()
            },
            None,
        ),
        (
            "reason",
            Filter {
                reason: text("exhausted"),
                ..none()
            },
            None,
        ),
        (
            "a day",
            Filter {
                since: Some(now - 20 * DAY),
                until: Some(now - 19 * DAY),
                ..none()
            },
            None,
        ),
    ];
    for status in Status::ALL {
        kinds.push((status.as_str(), of_status(status), None));
    }
    for (name, status) in [
        ("callee, dead", Status::Dead),
        ("callee, retrying", Status::Retrying),
        ("callee, delivered", Status::Delivered),
    ] {
        kinds.push((
            name,
            Filter {
                status: Some(status),
                ..common_callee()
            },
            None,
        ));
    }
    let dead = || of_status(Status::Dead);
    kinds.push((
        "app, dead",
        Filter {
            app_id: text("app1"),
            ..dead()
        },
        None,
    ));
    kinds.push((
        "rare app, dead",
        Filter {
            app_id: text("rare"),
            ..dead()
        },
        None,
    ));
    kinds.push((
        "rare app, expired",
        Filter {
            app_id: text("rare"),
            ..of_status(Status::Expired)
        },
        None,
    ));
    kinds.push((
        "unknown app, callee",
        Filter {
            app_id: text("unknown"),
            ..common_callee()
        },
        None,
    ));
    kinds.push((
        "unknown reason",
        Filter {
            reason: text("unknown"),
            ..none()
        },
        None,
    ));
    kinds
}

async fn time_finds(journal: &Journal, some: &[Uuid], figures: &mut Figures) {
    let mut times = Vec::new();
    for id in some.iter().cycle().take(FINDS) {
        let begun = Instant::now();
        let found = journal.find(*id).await.expect("an answer");
        times.push(begun.elapsed());
        assert!(found.is_some(), "{id} is generated");
    }
    note("by id", times, figures);
}

async fn time_pages(
    journal: &Journal,
    name: &str,
    filter: &Filter,
    after: Option<Cursor>,
    now: u64,
    figures: &mut Figures,
) {
    let (all, mut times) = (Instant::now(), Vec::new());
    while times.len() < PAGES && all.elapsed() < PATIENCE {
        let begun = Instant::now();
        let page = journal.list(filter, after, PAGE, now).await;
        page.unwrap_or_else(|error| panic!("{name}: {error}"));
        times.push(begun.elapsed());
    }
    note(&format!("page, {name}"), times, figures);
}

async fn time_counts(journal: &Journal, now: u64, figures: &mut Figures) {
    let dead = Filter {
        status: Some(Status::Dead),
        ..Filter::default()
    };
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        journal.count(&dead, now).await.expect("a count");
        times.push(begun.elapsed());
    }
    note("count of the dead", times, figures);
}

/// What is taken for replay.
fn replayed() -> [(&'static str, Filter); 4] {
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let (callee_no, app_id, reason) = (text("T002"), text("app2"), text("rejected"));
    let callee = Filter {
        callee_no,
        ..none()
    };
    let app = Filter { app_id, ..none() };
    let reason = Filter { reason, ..none() };
    [
        ("all", Filter::default()),
        ("callee", callee),
        ("app", app),
        ("reason", reason),
    ]
}

/// Dead letters are taken for replay in small steps, oldest first.
async fn time_replays(journal: &Journal, now: u64, figures: &mut Figures) {
    for (name, filter) in replayed() {
        let mut times = Vec::new();
        for _ in 0..20 {
            let begun = Instant::now();
            let taken = journal.take_replays(&filter, 100, now).await;
            let taken = taken.expect("dead letters");
            let done: Vec<_> = taken
                .iter()
                .map(|it| (it.request_id, it.generation))
                .collect();
            journal.replayed(&done).await.expect("an answer");
            times.push(begun.elapsed());
        }
        note(&format!("100 replays taken, {name}"), times, figures);
    }
}

/// Median, 99th percentile and the longest.
fn note(name: &str, mut times: Vec<Duration>, figures: &mut Figures) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    for (which, time) in [("p50", at(50)), ("p99", at(99)), ("longest", at(100))] {
        figures.add(
            &format!("{name}: {which}"),
            "ms",
            time.as_secs_f64() * 1000.0,
        );
    }
}

async fn size(url: &str) -> f64 {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let bytes: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
        .fetch_one(&mut connection)
        .await
        .expect("a size");
    bytes as f64 / 1e9
}

/// Unix ms.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("a clock after 1970").as_millis()).expect("a moment within reach")
}
