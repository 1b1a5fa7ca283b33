//! An accepted callback is never denied while its record cannot be written, and health and metrics tell
//! of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::{BrokerUnderTest, Gateway, GatewayOptions, GatewayRole, Postgres, eventually};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);
/// Longer than a record may be under way by the rule before recorders numbered their batches: the
/// deadline of a publish, 2 s for the handover, and 5 s for the writer.
const LONG: Duration = Duration::from_secs(14);
const PUBLISH_TIMEOUT: &str = "3s";
const BOTH: [GatewayRole; 2] = [GatewayRole::Ingress, GatewayRole::Dispatcher(0)];

fn callback(delay_seconds: u64) -> Value {
    json!({
        "callback_url": "http://127.0.0.1:9/",
        "app_id": "a",
        "message_type": "t",
        "request_message": {},
        "options": { "delay_seconds": delay_seconds },
    })
}

/// An id that nobody has, generated this long ago.
fn foreign_id(age: Duration) -> String {
    let at = std::time::SystemTime::now() - age;
    let at = at
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let id = uuid::Builder::from_unix_timestamp_millis(u64::try_from(at).unwrap(), &[7; 10]);
    id.into_uuid().to_string()
}

async fn start(
    url: &str,
    change: impl FnOnce(GatewayOptions) -> GatewayOptions,
) -> Gateway<'static> {
    let options = GatewayOptions::default()
        .with("RINGBACK__JOURNAL__URL", url)
        .with("RINGBACK__BROKER__PUBLISH_TIMEOUT", PUBLISH_TIMEOUT);
    let gateway = Gateway::start(BrokerUnderTest::shared().await, change(options)).await;
    for role in BOTH {
        journal_is(&gateway, role, "connected").await;
    }
    foreign_ids_are_denied(&gateway).await;
    gateway
}

/// The journal's state on `/readyz` contains this text.
async fn journal_is(gateway: &Gateway<'_>, role: GatewayRole, text: &str) {
    eventually(&format!("the journal to be {text}"), SOON, async || {
        let (status, page) = gateway.get_details(role, "/readyz").await;
        assert_eq!(status, 200, "{page}");
        let page: Value = serde_json::from_str(&page).unwrap();
        let state = page["journal"].as_str().unwrap().to_owned();
        if state.contains(text) {
            Ok(())
        } else {
            Err(state)
        }
    })
    .await;
}

/// A metric, if it is on the page.
async fn metric(gateway: &Gateway<'_>, role: GatewayRole, name: &str) -> Option<f64> {
    let page = gateway.metrics(role).await;
    let line = page.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

/// Records arrive: an old id without a callback is a 404.
async fn foreign_ids_are_denied(gateway: &Gateway<'_>) {
    eventually("a 404 for an id that nobody has", SOON, async || {
        let answer = gateway.query(&foreign_id(Duration::from_secs(11))).await;
        if answer.status == 404 {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await;
}

/// Asks for the callback, and cancels it, for so long: the answer is 503 with its id.
async fn is_never_denied(gateway: &Gateway<'_>, id: &str, within: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < within {
        for answer in [gateway.query(id).await, gateway.cancel(id).await] {
            let passed = begun.elapsed();
            assert_eq!(answer.status, 503, "after {passed:?}: {answer:?}");
            assert_eq!(answer.request_id().as_deref(), Some(id), "{answer:?}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn is_known(gateway: &Gateway<'_>, id: &str) {
    eventually("the callback in the journal", SOON, async || {
        let answer = gateway.query(id).await;
        assert_ne!(answer.status, 404, "{answer:?}");
        if answer.status == 200 {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_whose_record_waits_for_a_lock_is_never_denied_and_health_tells() {
    let url = Postgres::shared().await.database().await;
    let gateway = start(&url, |options| options).await;
    let mut locking = PgConnection::connect(&url).await.unwrap();
    // As CREATE INDEX does.
    sqlx::raw_sql("BEGIN; LOCK TABLE callbacks IN SHARE MODE")
        .execute(&mut locking)
        .await
        .unwrap();
    let id = gateway.post(&callback(60)).await.accepted();
    is_never_denied(&gateway, &id, LONG).await;

    // The writer knows why, the ingress that none of its records arrives.
    journal_is(
        &gateway,
        GatewayRole::Dispatcher(0),
        "writes have failed for",
    )
    .await;
    journal_is(&gateway, GatewayRole::Ingress, "no record of this process").await;
    for role in BOTH {
        let up = metric(&gateway, role, "ringback_journal_up{kind=\"postgresql\"}").await;
        assert_eq!(up, Some(0.0));
        let age = metric(
            &gateway,
            role,
            "ringback_journal_oldest_unwritten_age_seconds",
        )
        .await;
        assert!(age.unwrap() > 5.0, "{age:?}");
    }
    let writer = GatewayRole::Dispatcher(0);
    let failures = metric(&gateway, writer, "ringback_journal_write_failures_total").await;
    assert!(failures.unwrap() >= 1.0, "{failures:?}");
    let held = metric(&gateway, writer, "ringback_journal_held_batches").await;
    assert!(held.unwrap() >= 1.0, "{held:?}");

    sqlx::raw_sql("ROLLBACK")
        .execute(&mut locking)
        .await
        .unwrap();
    is_known(&gateway, &id).await;
    for role in BOTH {
        journal_is(&gateway, role, "connected").await;
    }
    foreign_ids_are_denied(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_accepted_while_the_database_is_read_only_is_never_denied() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let name = url.rsplit('/').next().unwrap();
    let gateway = start(&url, |options| options).await;
    let mut control = postgres.connect("postgres").await.unwrap();
    let mut run = async |sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut control)
            .await
            .unwrap();
    };
    let end_sessions =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    run(format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on"
    ))
    .await;
    run(end_sessions).await;
    let id = gateway.post(&callback(60)).await.accepted();
    is_never_denied(&gateway, &id, LONG).await;
    journal_is(&gateway, GatewayRole::Dispatcher(0), "25006").await;

    // The sessions are still read-only: they are not kept.
    run(format!(
        "ALTER DATABASE {name} RESET default_transaction_read_only"
    ))
    .await;
    let begun = Instant::now();
    is_known(&gateway, &id).await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    foreign_ids_are_denied(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_is_never_denied_while_the_writer_has_no_connection() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let name = url.rsplit('/').next().unwrap();
    let role = format!("writer_{}", Uuid::new_v4().simple());
    let mut control = postgres.connect("postgres").await.unwrap();
    let mut run = async |sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut control)
            .await
            .unwrap();
    };
    run(format!("CREATE ROLE {role} LOGIN")).await;
    // A superuser's privileges, but not its exemption from the limit: the role owns the database.
    run(format!("ALTER DATABASE {name} OWNER TO {role}")).await;
    let writer = url.replace("postgres://postgres@", &format!("postgres://{role}@"));
    let gateway = {
        let mut tables = PgConnection::connect(&url).await.unwrap();
        let grant = format!("GRANT ALL ON SCHEMA public TO {role}");
        sqlx::raw_sql(AssertSqlSafe(grant))
            .execute(&mut tables)
            .await
            .unwrap();
        journal::Journal::connect(&writer)
            .unwrap()
            .migrate()
            .await
            .unwrap();
        start(&writer, |options| {
            options.with_ingress("RINGBACK__JOURNAL__URL", &url)
        })
        .await
    };
    run(format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;
    run(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    ))
    .await;
    let id = gateway.post(&callback(0)).await.accepted();
    is_never_denied(&gateway, &id, LONG).await;
    journal_is(&gateway, GatewayRole::Ingress, "no record of this process").await;
    let up = "ringback_journal_up{kind=\"postgresql\"}";
    assert_eq!(metric(&gateway, GatewayRole::Ingress, up).await, Some(0.0));

    run(format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await;
    is_known(&gateway, &id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_accepted_before_its_process_reached_the_journal_is_never_denied() {
    // The ingress has never reached the journal, and another one answers.
    let postgres = Postgres::start().await; // Its own: it is stopped.
    let url = postgres.database().await;
    let writing = start(&url, |options| options).await;
    postgres.stop().await;
    let broker = BrokerUnderTest::shared().await;
    let fresh = GatewayOptions {
        dispatchers: 0,
        ..GatewayOptions::default()
    };
    let fresh = fresh.with("RINGBACK__JOURNAL__URL", &url).with(
        "RINGBACK__BROKER__PREFIX",
        &writing.name("").replace('.', ""),
    );
    let fresh = Gateway::start(broker, fresh).await;
    let id = fresh.post(&callback(0)).await.accepted();
    is_never_denied(&writing, &id, Duration::from_secs(2)).await;
    postgres.restart().await;
    is_known(&writing, &id).await;
}
