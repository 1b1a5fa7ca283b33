//! A journal with millions of callbacks in PostgreSQL: times of the adapter's queries, the server's
//! plans for them, and retention while others write and read.
//!
//! - `generate.rs`: fills the tables
//! - `plans.rs`: the plans of the server
//! - `retention.rs`: steps of the retention

mod generate;
mod plans;
mod retention;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use contract::CallbackStatus;
use journal::{Cursor, Filter, Journal};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use tests::Postgres;

use super::figures::{Figures, Times};

const DAY: u64 = 24 * 60 * 60 * 1000;
/// The size of a page in the product.
const PAGE: u32 = 50;
const FINDS: usize = 2000;
/// How often each kind of page is queried, but no longer than [`MAX_TIME`].
const PAGES: u64 = 100;
const MAX_TIME: Duration = Duration::from_secs(20);

/// The result.
#[derive(Debug)]
pub(crate) struct Report {
    /// The times.
    pub(crate) figures: Figures,
    /// The server's plans for each kind of query.
    pub(crate) plans: String,
}

/// Generates this many callbacks over 31 days in a private server, and queries them. Takes half a
/// minute and a GB of disk per million.
pub(crate) async fn measure(callbacks: u64) -> Report {
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
    // A day with a replay is not dropped, so replays come last.
    time_replays(&journal, now, &mut figures).await;
    let plans = plans::explain(&postgres, &url, &kinds(now, &some), some[0], now).await;
    journal.close().await;
    Report { figures, plans }
}

/// Each kind of filter, with common and with rare names.
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
    for status in CallbackStatus::ALL {
        kinds.push((status.as_str(), of_status(status), None));
    }
    for (name, status) in [
        ("callee, dead", CallbackStatus::Dead),
        ("callee, retrying", CallbackStatus::Retrying),
        ("callee, delivered", CallbackStatus::Delivered),
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
    let dead = || of_status(CallbackStatus::Dead);
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
            ..of_status(CallbackStatus::Expired)
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
    let mut times = Times::default();
    for id in some.iter().cycle().take(FINDS) {
        let begun = Instant::now();
        let found = journal.find(*id).await.expect("an answer");
        times.record(begun.elapsed());
        assert!(found.is_some(), "{id} is generated");
    }
    add_times("by id", &times, figures);
}

async fn time_pages(
    journal: &Journal,
    name: &str,
    filter: &Filter,
    after: Option<Cursor>,
    now: u64,
    figures: &mut Figures,
) {
    let (all, mut times) = (Instant::now(), Times::default());
    while times.len() < PAGES && all.elapsed() < MAX_TIME {
        let begun = Instant::now();
        let page = journal.list(filter, after, PAGE, now).await;
        page.unwrap_or_else(|error| panic!("{name}: {error}"));
        times.record(begun.elapsed());
    }
    add_times(&format!("page, {name}"), &times, figures);
}

async fn time_counts(journal: &Journal, now: u64, figures: &mut Figures) {
    let dead = Filter {
        status: Some(CallbackStatus::Dead),
        ..Filter::default()
    };
    let mut times = Times::default();
    for _ in 0..10 {
        let begun = Instant::now();
        journal.count(&dead, now).await.expect("a count");
        times.record(begun.elapsed());
    }
    add_times("count of the dead-lettered", &times, figures);
}

/// Filters of the dead letters to replay.
fn replay_filters() -> [(&'static str, Filter); 4] {
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

/// Dead letters are claimed for replay in small steps, oldest first.
async fn time_replays(journal: &Journal, now: u64, figures: &mut Figures) {
    for (name, filter) in replay_filters() {
        let mut times = Times::default();
        for _ in 0..20 {
            let begun = Instant::now();
            let claimed = journal.take_replays(&filter, 100, now).await;
            let claimed = claimed.expect("dead letters");
            let done: Vec<_> = claimed
                .iter()
                .map(|it| (it.request_id, it.generation))
                .collect();
            journal.confirm_replays(&done).await.expect("an answer");
            times.record(begun.elapsed());
        }
        add_times(&format!("100 replays claimed, {name}"), &times, figures);
    }
}

/// Adds the median, the 99th percentile and the longest time.
fn add_times(name: &str, times: &Times, figures: &mut Figures) {
    times.add_to(figures, name);
    figures.add(&format!("{name}, max"), "ms", times.max_ms());
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
    u64::try_from(since.expect("a clock after 1970").as_millis()).expect("a valid time")
}
