//! The stats equal the ledger, whatever is killed meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tests::{ExclusiveBroker, GatewayOptions, GatewayRole, Process, Scenario, eventually};

use super::recording::{accepted, these_ended};
use crate::accept::query::attempts;

/// How many callbacks are sent; set [`VARIABLE`] for more.
const CALLBACKS: u64 = 1_500;
const VARIABLE: &str = "RINGBACK_E2E_COUNTED";
const CALLERS: usize = 32;
const WORKED_OFF: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(30);

/// Seven are delivered at once, one later, one never; one is rejected.
const PATHS: [&str; 10] = [
    "/ok",
    "/ok",
    "/flaky/1",
    "/slow/200",
    "/ok",
    "/status/503",
    "/ok",
    "/ok",
    "/status/410",
    "/ok",
];

/// The names of the figures of `/admin/v1/stats` that are compared.
const FIGURES: [&str; 5] = ["accepted", "delivered", "failed", "dead", "attempts"];

async fn total(scenario: &Scenario<'_>, parameters: &str) -> Value {
    let path = format!("/admin/v1/stats?step=1m{parameters}");
    let stats = scenario.admin(&path, None).await;
    let points = stats["points"].as_array().unwrap();
    for figure in FIGURES {
        let each = points.iter().map(|point| point[figure].as_u64().unwrap());
        assert_eq!(each.sum::<u64>(), stats["total"][figure], "{figure}");
    }
    stats["total"].clone()
}

fn figures(total: &Value) -> [u64; 5] {
    FIGURES.map(|figure| total[figure].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stats_equal_the_ledger_although_a_dispatcher_is_killed() {
    let most = std::env::var(VARIABLE).map_or(CALLBACKS, |it| it.parse().unwrap());
    let turn = ExclusiveBroker::take().await;
    let options = GatewayOptions {
        dispatchers: 2,
        ..GatewayOptions::default()
    };
    let mut scenario = Scenario::start(&turn, options.with_journal()).await;
    let callers = scenario.callers(&PATHS, CALLERS, most);
    callers
        .accepted_more(usize::try_from(most / 3).unwrap())
        .await;
    if scenario.dispatchers.is_empty() {
        scenario.restart_ingress().await;
    } else {
        scenario.dispatchers[0].process.kill9();
        scenario.restart_dispatcher(0).await;
    }
    let answers = callers.done().await;

    // Those of which no caller knows whether they were accepted are counted as well.
    let mut ids: BTreeSet<String> = accepted(&answers).into_iter().collect();
    these_ended(&scenario, ids.iter().cloned().collect()).await;
    eventually("the end of all that was accepted", WORKED_OFF, async || {
        let [accepted, delivered, _, dead, _] = figures(&total(&scenario, "").await);
        (accepted == delivered + dead && accepted >= ids.len() as u64)
            .then_some(())
            .ok_or(format!(
                "{accepted} accepted, {delivered} delivered, {dead} dead"
            ))
    })
    .await;
    let seen = scenario.callee.requests.received();
    ids.extend(seen.into_iter().filter_map(|one| one.id.clone()));
    let reports = these_ended(&scenario, ids.into_iter().collect()).await;
    let all: Vec<_> = reports.values().flat_map(attempts).collect();
    let failed = all.iter().filter(|(_, _, status)| *status != Some(200));
    let (failed, made) = (failed.count(), all.len());

    let stats = total(&scenario, "").await;
    let target = format!("&target={}", scenario.callee.url("/"));
    assert_eq!(total(&scenario, &target).await, stats);
    assert_eq!(total(&scenario, "&app=callers").await, stats);
    assert_eq!(figures(&total(&scenario, "&app=nobody").await), [0; 5]);
    let printed = printed(&scenario, &["stats", "--app", "callers", "--since", "2h"]).await;
    println!("{printed}");
    assert!(printed.contains("app callers, "), "{printed}");
    let nobody = self::printed(&scenario, &["stats", "--callee", "EO404"]).await;
    assert!(
        nobody.contains("nothing was counted for callee EO404"),
        "{nobody}"
    );

    let audit = scenario.ledger(&answers).await.audit().sound();
    println!("{audit}");
    let expected = [
        audit.accepted + audit.recovered,
        audit.delivered,
        failed,
        audit.dead,
        made,
    ];
    let expected = expected.map(|count| u64::try_from(count).unwrap());
    assert_eq!(figures(&stats), expected, "{FIGURES:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deferrals_are_counted_as_the_dispatcher_counts_them() {
    const EACH: u64 = 300;
    let turn = ExclusiveBroker::take().await;
    let options = GatewayOptions {
        dispatchers: 1,
        ..GatewayOptions::default()
    };
    let options = options
        .with("RINGBACK__LIMITS__IN_FLIGHT", "1")
        .with("RINGBACK__LIMITS__QUEUE_TIMEOUT", "100ms");
    let scenario = Scenario::start(&turn, options.with_journal()).await;
    let answers = scenario.callers(&["/slow/20"], CALLERS, EACH).done().await;
    scenario.all_delivered(&answers).await;
    let role = match scenario.dispatchers.is_empty() {
        true => GatewayRole::Ingress,
        false => GatewayRole::Dispatcher(0),
    };
    let deferred = eventually("every deferral in the stats", SOON, async || {
        let page = scenario.metrics(role).await;
        let lines = page.lines();
        let series = lines.filter_map(|line| {
            let value = line.strip_prefix("ringback_deferrals_total{")?;
            value.rsplit_once(' ')?.1.parse::<u64>().ok()
        });
        let made: u64 = series.sum();
        let stats = total(&scenario, "").await;
        let counted = &stats["deferred"];
        (*counted == made && stats["delivered"] == EACH)
            .then_some(made)
            .ok_or(format!("{made} made, {stats}"))
    })
    .await;
    assert!(deferred > 0, "nothing was deferred");
}

/// What `ringback` prints with these words.
async fn printed(scenario: &Scenario<'_>, words: &[&str]) -> String {
    let admin = scenario.admin_url();
    let words: Vec<&str> = words.iter().copied().chain(["--admin", &admin]).collect();
    let mut process = Process::ringback(&words, [("USER", "night-shift")]);
    assert!(process.wait_exit(SOON).await.success(), "{}", process.log());
    process.log()
}
