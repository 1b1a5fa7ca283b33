//! A dump of the PostgreSQL journal, restored beside a RabbitMQ that lost its messages.

use std::collections::BTreeMap;
use std::fs::File;

use tests::callers::accepted_ids;
use tests::cleanup::TempDirectory;
use tests::{
    BrokerKind, Gateway, GatewayOptions, Postgres, Process, RabbitMq, Scenario, eventually,
};

use super::SOON;

const CALLBACKS: u64 = 30;

fn options() -> GatewayOptions {
    GatewayOptions {
        // What has failed waits until somebody retries it.
        schedule: "1h,1h".to_owned(),
        ..GatewayOptions::default()
    }
}

/// The status of each callback.
async fn statuses(gateway: &Gateway<'_>, ids: &[String]) -> BTreeMap<String, String> {
    let mut statuses = BTreeMap::new();
    for id in ids {
        let report = gateway.query(id).await.json();
        let status = report["status"].as_str().unwrap_or("unknown");
        statuses.insert(id.clone(), status.to_owned());
    }
    statuses
}

fn count(statuses: &BTreeMap<String, String>, status: &str) -> usize {
    statuses.values().filter(|one| *one == status).count()
}

/// Runs an operators' command, which succeeds.
async fn done(gateway: &Gateway<'_>, words: &[&str]) -> String {
    let admin = gateway.admin_url();
    let words = [words, &["--admin", &admin]].concat();
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    let ended = process.wait_exit(SOON).await;
    assert!(ended.success(), "{}", process.log());
    process.log()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_dump_tells_what_was_and_recovers_what_waits() {
    BrokerKind::must_be_rabbitmq();
    let rabbit = RabbitMq::shared().await;
    let scenario = Scenario::start(rabbit, options().with_journal()).await;
    let callers = scenario.callers(&["/ok", "/flaky/1", "/status/400"], 4, CALLBACKS);
    let answers = callers.done().await;
    let ids: Vec<String> = accepted_ids(&answers).map(str::to_owned).collect();
    let third = ids.len() / 3;
    assert_eq!(ids.len(), usize::try_from(CALLBACKS).unwrap());
    let before = eventually("all first attempts in the journal", SOON, async || {
        let found = statuses(&scenario, &ids).await;
        let each = ["delivered", "retrying", "dead"].map(|status| count(&found, status));
        (each == [third; 3])
            .then_some(found)
            .ok_or(format!("{each:?}"))
    })
    .await;

    let postgres = Postgres::shared().await;
    let temp = TempDirectory::new("dump");
    let dump = temp.path().join("journal.dump");
    let journal = &scenario.variables()["RINGBACK__JOURNAL__URL"];
    let whole = ["--format=custom", journal];
    let dumped = postgres.run("pg_dump", &whole, None).await;
    std::fs::write(&dump, dumped).unwrap();
    let restored = postgres.database().await;
    let into = ["--no-owner", "--exit-on-error", "--dbname", &restored];
    let input = Some(File::open(&dump).unwrap());
    postgres.run("pg_restore", &into, input).await;

    // Queues that hold nothing: what a broker without its volume has after a start.
    let options = options().with("RINGBACK__JOURNAL__URL", &restored);
    let gateway = Gateway::start(rabbit, options).await;
    assert_eq!(statuses(&gateway, &ids).await, before);
    let recover = ["recover", "--reason", "the volume is gone"];
    eventually("empty queues", SOON, async || {
        let planned = done(&gateway, &recover).await;
        let empty = planned.contains("the queues hold 0 messages");
        empty.then_some(()).ok_or(planned)
    })
    .await;
    let output = done(&gateway, &[&recover[..], &["--yes"]].concat()).await;
    let retry = [
        "callback",
        "retry-now",
        "--all",
        "--reason",
        "back",
        "--yes",
    ];
    let retried = done(&gateway, &retry).await;
    eventually("the delivery of what waited", SOON, async || {
        let found = statuses(&gateway, &ids).await;
        let each = [count(&found, "delivered"), count(&found, "dead")];
        let seen = || format!("{each:?}; {output}{retried}");
        (each == [2 * third, third]).then_some(()).ok_or_else(seen)
    })
    .await;
    // The second attempt of those that waited, and no further one of the others.
    let received = scenario.callee.requests.received();
    assert_eq!(received.len(), 4 * third);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_a_newer_version_is_refused_and_not_changed() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let migrate = async || {
        let variables = [("RINGBACK__JOURNAL__URL", &*url)];
        let mut process = Process::ringback(&["migrate"], variables);
        let ended = process.wait_exit(SOON).await;
        (ended.code(), process.log())
    };
    let (code, output) = migrate().await;
    assert_eq!(code, Some(0), "{output}");
    let newer = "INSERT INTO migrations (version) VALUES (99)";
    postgres
        .run("psql", &[&url, "--command", newer], None)
        .await;
    let (code, output) = migrate().await;
    assert_eq!(code, Some(1), "{output}");
    let reason = "the database has version 99, this program needs version";
    assert!(output.contains(reason), "{output}");
    assert!(output.contains("a newer ringback made it"), "{output}");
}
