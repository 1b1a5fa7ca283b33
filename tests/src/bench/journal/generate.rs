//! With what is the journal filled? With a month of a busy gateway, made by the server itself.

use journal::{Journal, Origin, Record, State};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::DAY;

/// The oldest day is past a retention of 30 days.
pub(super) const DAYS: u64 = 32;
const WRITERS: u64 = 2;

/// Most are delivered; the newest two days hold what waits. One in 50,000 has a rare name. The
/// common ones are skewed: the first app, callee and target have a fifth of all.
const CALLBACKS: &str = "
INSERT INTO callbacks (
    request_id, generation, weight, at, tie, next_attempt_at, body_since, accepted_at, status,
    app_id, message_type, target, caller_no, callee_no, callback_url, reason, waiting_for,
    dead_letter)
SELECT id, 0, CASE WHEN status = 2 THEN 9223372036854775807 ELSE 8 * tries + 2 END, ms + 900, 1,
    CASE WHEN status < 2 THEN $NOW + (dice * 100000000)::bigint % 3600000 - 600000 END,
    CASE WHEN status = 3 THEN ms + 900 END, ms, status,
    CASE WHEN rare THEN 'rare' ELSE 'app' || ((party - 1) % 40 + 1) END,
    CASE WHEN rare THEN 'rare' ELSE 'type' || (n % 12 + 1) END,
    'https://' || CASE WHEN rare THEN 'rare' ELSE 't' || party END || '.example:443',
    'C' || n % 100, CASE WHEN rare THEN 'rare' ELSE 'T' || lpad(party::text, 3, '0') END,
    'https://t' || party || '.example/orders/paid?token=***',
    CASE WHEN status = 3 THEN (ARRAY['exhausted', 'rejected', 'refused'])[n % 3 + 1] END, NULL,
    CASE WHEN status = 3 THEN convert_to(repeat(md5(n::text), 20), 'UTF8') END
FROM (
    SELECT *, CASE WHEN dice < 0.01 THEN 3 WHEN dice < 0.011 THEN 4 WHEN dice < 0.012 THEN 5
                   WHEN dice < 0.02 AND $YOUNG THEN 1 WHEN dice < 0.021 AND $YOUNG THEN 0
                   ELSE 2 END AS status,
        (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8'
            || substr(md5(n::text), 1, 15))::uuid AS id,
        CASE WHEN n % 5 = 0 THEN 1 ELSE (n * 7919 / 13 % 200 + 1) END AS party,
        n % 50000 = 777 AS rare, n % 3 + 1 AS tries
    FROM (SELECT n, random() AS dice, $FROM + n * 86400000 / $COUNT AS ms
          FROM generate_series(0::bigint, $COUNT - 1) AS n) AS numbers
) AS made";

/// About 1.3 for each callback.
const ATTEMPTS: &str = "
INSERT INTO attempts (
    request_id, generation, number, run, started_at, duration_ms, http_status, outcome, detail)
SELECT request_id, 0, number, accepted_at * 31 + number, accepted_at + 100, 80,
    CASE WHEN status = 2 THEN 200 ELSE 503 END,
    CASE WHEN status = 2 THEN 'delivered' ELSE 'http 503' END, NULL
FROM callbacks, generate_series(1, CASE WHEN accepted_at % 20 < 3 THEN 3 ELSE 1 END) AS number
WHERE request_id >= '$FIRST' AND request_id < '$END'";

/// Fills the days before `now` (Unix ms), several at once.
pub(super) async fn fill(journal: &Journal, url: &str, callbacks: u64, now: u64) {
    let midnight = now / DAY * DAY;
    let days: Vec<u64> = (0..DAYS).map(|back| midnight - back * DAY).collect();
    // A record for each day has the adapter make the partitions.
    let firsts: Vec<Record> = days.iter().map(|day| delivered(*day)).collect();
    journal.record(&firsts).await.expect("partitions");
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let indexes = without_indexes(&mut connection).await;
    let each = callbacks / DAYS;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (days, url) = (days.clone(), url.to_owned());
        writers.spawn(async move {
            let mut connection = PgConnection::connect(&url).await.expect("a connection");
            run(&mut connection, "SET synchronous_commit = off").await;
            for (back, day) in (0..).zip(days) {
                if back % WRITERS == writer {
                    fill_day(&mut connection, day, each, now, back < 2).await;
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("a writer that ends well");
    }
    for index in indexes {
        run(&mut connection, &index).await;
    }
    run(&mut connection, "VACUUM ANALYZE").await;
    run(&mut connection, "CHECKPOINT").await;
}

/// Drops the indexes but the primary key, which are made faster afterwards; returns how.
async fn without_indexes(connection: &mut PgConnection) -> Vec<String> {
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT indexname::text, indexdef FROM pg_indexes \
         WHERE tablename = 'callbacks' AND indexname <> 'callbacks_pkey'",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the indexes");
    let mut made = Vec::new();
    for (name, definition) in found {
        run(connection, &format!("DROP INDEX {name}")).await;
        // On all partitions, now and later.
        made.push(definition.replace(" ON ONLY ", " ON "));
    }
    made
}

async fn fill_day(connection: &mut PgConnection, day: u64, count: u64, now: u64, young: bool) {
    let id = |moment: u64| Uuid::from_u128(u128::from(moment) << 80).to_string();
    for sql in [CALLBACKS, ATTEMPTS] {
        let sql = sql
            .replace("$FROM", &day.to_string())
            .replace("$COUNT", &count.max(1).to_string())
            .replace("$NOW", &now.to_string())
            .replace("$YOUNG", &young.to_string())
            .replace("$FIRST", &id(day))
            .replace("$END", &id(day + DAY));
        run(connection, &sql).await;
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Ids out of all partitions, mixed.
pub(super) async fn some_ids(url: &str) -> Vec<Uuid> {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    sqlx::query_scalar(
        "SELECT request_id FROM (SELECT request_id FROM callbacks TABLESAMPLE SYSTEM (1) \
         LIMIT 200000) AS some_of_them ORDER BY random() LIMIT 2000",
    )
    .fetch_all(&mut connection)
    .await
    .expect("ids")
}

/// A callback of this moment (Unix ms), delivered.
pub(super) fn delivered(at: u64) -> Record {
    let unique = Uuid::new_v4().into_bytes();
    let mut last = [0; 10];
    last.copy_from_slice(&unique[..10]);
    let id = uuid::Builder::from_unix_timestamp_millis(at, &last);
    Record {
        origin: Origin {
            request_id: id.into_uuid(),
            app_id: "app1".to_owned(),
            caller_no: None,
            callee_no: Some("T001".to_owned()),
            message_type: "type1".to_owned(),
            callback_url: None,
            target: "https://t1.example:443".to_owned(),
            accepted_at: at,
        },
        generation: 0,
        attempt: 1,
        at,
        state: State::Delivered,
        attempted: None,
        dead_letter: None,
    }
}
