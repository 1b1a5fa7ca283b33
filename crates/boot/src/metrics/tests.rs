//! Does the page say what was recorded, under the names that dashboards know?

use super::*;

#[test]
fn what_is_recorded_is_on_the_page() {
    let metrics = Metrics::new();
    metrics.accepted();
    metrics.accepted();
    metrics.refused("400");
    metrics.attempt("delivered", "first", Duration::from_millis(20));
    metrics.attempt("timeout", "retry", Duration::from_secs(15));
    metrics.delivered_age(Duration::from_secs(86_400));
    metrics.in_flight("first", 3);
    metrics.in_flight("first", -1);
    metrics.parked("breaker_open");
    metrics.retried();
    metrics.dead("exhausted");
    metrics.poison();
    metrics.reinjected();
    metrics.redelivered("retry");
    metrics.broker_up("publish", true);
    metrics.broker_up("consume", true);
    metrics.broker_up("consume", false);
    metrics.broker_blocked(true);
    metrics.queue_messages("dead", 7);
    metrics.publish_failure("unknown");
    metrics.journal_up("sqlite", true);
    metrics.journal_waiting(12);
    metrics.journal_gap(3);
    metrics.journal_gap(5);
    metrics.journal_records(500);
    metrics.journal_refused(1);
    metrics.cancelled();
    metrics.stale();

    let page = metrics.encode();
    for line in [
        "ringback_callbacks_accepted_total 2",
        "ringback_callbacks_refused_total{code=\"400\"} 1",
        "ringback_attempts_total{outcome=\"delivered\",lane=\"first\"} 1",
        "ringback_attempts_total{outcome=\"timeout\",lane=\"retry\"} 1",
        "ringback_attempt_duration_seconds_count 2",
        "ringback_attempt_duration_seconds_bucket{le=\"0.025\"} 1",
        "ringback_attempt_duration_seconds_bucket{le=\"15.0\"} 2",
        "ringback_delivery_age_seconds_bucket{le=\"28800.0\"} 0",
        "ringback_delivery_age_seconds_bucket{le=\"86400.0\"} 1",
        "ringback_attempts_in_flight{lane=\"first\"} 2",
        "ringback_parked_total{reason=\"breaker_open\"} 1",
        "ringback_retried_total 1",
        "ringback_dead_total{reason=\"exhausted\"} 1",
        "ringback_poison_total 1",
        "ringback_reinjected_total 1",
        "ringback_redelivered_total{lane=\"retry\"} 1",
        "ringback_broker_up{connection=\"publish\"} 1",
        "ringback_broker_up{connection=\"consume\"} 0",
        "ringback_broker_blocked 1",
        "ringback_queue_messages{queue=\"dead\"} 7",
        "ringback_publish_failures_total{kind=\"unknown\"} 1",
        "ringback_journal_up{kind=\"sqlite\"} 1",
        "ringback_journal_waiting 12",
        "ringback_journal_gap_total 5",
        "ringback_journal_records_total 500",
        "ringback_journal_refused_total 1",
        "ringback_cancelled_total 1",
        "ringback_stale_total 1",
        "# EOF",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "no line {line:?} in:\n{page}"
        );
    }
}

#[test]
fn series_with_known_labels_are_there_from_the_start() {
    let page = Metrics::new().encode();
    for line in [
        "ringback_redelivered_total{lane=\"first\"} 0",
        "ringback_attempts_in_flight{lane=\"retry\"} 0",
        "ringback_publish_failures_total{kind=\"refused\"} 0",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "no line {line:?} in:\n{page}"
        );
    }
}
