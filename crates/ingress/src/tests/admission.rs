//! Admission with the journal away, and without one. Its rules are tested in `admission.rs` and
//! `load/`.

use super::*;

const WEEK: &str = r#"{"delay_seconds":604800}"#;

/// A gateway with these bounds, and its metrics.
async fn bounded(max_waiting: u64, with_journal: bool) -> (TestIngress, MetricsRegistry) {
    let ingress = TestIngress::with(|config, dependencies| {
        config.max_waiting = max_waiting;
        if !with_journal {
            dependencies.journal = None;
        }
    });
    let ingress = ingress.await;
    let registry = ingress.registry.clone();
    (ingress, registry)
}

async fn shown(registry: &MetricsRegistry, line: &str) {
    eventually(async || {
        let page = registry.encode();
        match page.lines().any(|found| found == line) {
            true => Ok(()),
            false => Err(format!("no {line} in {page}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_journal_away_the_last_counts_hold_and_are_marked() {
    let (ingress, registry) = bounded(20, true).await;
    // Before the first reading nothing is refused.
    eventually(
        async || match ingress.broker.depths().borrow().delayed.last_known() {
            Some(_) => Ok(()),
            None => Err("never read".to_owned()),
        },
    )
    .await;
    let mut accepted = 0;
    // What was accepted just now may be counted twice for a moment: until it is read.
    eventually(async || {
        let answered = ingress.post("", &callback(WEEK)).await;
        if answered.status == 200 {
            accepted += 1;
            return Err(format!("{accepted} accepted"));
        }
        if answered.status == 503 {
            return Err("counted twice, so full for a moment".to_owned());
        }
        assert_eq!(answered.summary(), (429, "429"));
        let read = format!("ringback_app_waiting{{app_id=\"a\"}} {accepted}\n");
        match accepted > 10 && registry.encode().contains(&read) {
            true => Ok(()),
            false => Err(format!("{accepted} accepted, not read")),
        }
    })
    .await;
    assert!(accepted < 20, "{accepted} accepted");
    shown(&registry, "ringback_app_counts_stale 0").await;
    ingress.journal.close().await;
    shown(&registry, "ringback_app_counts_stale 1").await;
    let waiting = format!("ringback_app_waiting{{app_id=\"a\"}} {accepted}");
    shown(&registry, &waiting).await;
    let refused = ingress.post("", &callback(WEEK)).await;
    assert_eq!(refused.summary(), (429, "429"));
    assert_eq!(refused.header("retry-after"), Some("10"));
    let of_another = callback(WEEK).replace(r#""app_id":"a""#, r#""app_id":"b""#);
    // Admitted and queued; its record cannot be written, so the answer has the id.
    ingress.post("", &of_another).await.id();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_journal_only_the_bound_on_all_apps_holds() {
    let (ingress, registry) = bounded(4, false).await;
    let mut accepted = 0;
    let refused = loop {
        let answered = ingress.post("", &callback(WEEK)).await;
        if answered.status != 200 {
            break answered;
        }
        accepted += 1;
        assert!(accepted < 1_000, "nothing bounds it");
    };
    assert_eq!(refused.summary(), (503, "500"));
    assert_eq!(refused.text("request_id"), "");
    assert!(!registry.encode().contains("ringback_app_unfinished{"));
}
