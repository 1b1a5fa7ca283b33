//! Canaries show whether anything comes out of the work queues, and leave nothing behind.

use std::time::Duration;

use tests::{Gateway, GatewayOptions, GatewayRole, RabbitMq, eventually};

const SOON: Duration = Duration::from_secs(60);
const QUEUES: [&str; 2] = ["first", "retry"];

/// The value of a series of this role.
async fn value(gateway: &Gateway<'_>, role: GatewayRole, series: &str) -> Option<f64> {
    let page = gateway.metrics(role).await;
    let begin = format!("{series} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&*begin));
    value.map(|value| value.parse().unwrap())
}

async fn of_ingress(gateway: &Gateway<'_>, name: &str, queue: &str) -> f64 {
    let series = format!("ringback_canary_{name}{{queue=\"{queue}\"}}");
    let value = value(gateway, GatewayRole::Ingress, &series).await;
    value.unwrap_or_default()
}

#[tokio::test]
async fn canaries_are_unanswered_until_a_dispatcher_takes_them_and_leave_no_record() {
    let options = GatewayOptions {
        dispatchers: 0,
        ..GatewayOptions::default().with_journal()
    };
    let options = options.with("RINGBACK__INGRESS__CANARY", "true");
    let mut gateway = Gateway::start(RabbitMq::shared().await, options).await;
    for queue in QUEUES {
        eventually("canaries without an answer", SOON, async || {
            let since = of_ingress(&gateway, "unanswered_seconds", queue).await;
            (since > 5.0).then_some(()).ok_or(format!("{since}"))
        })
        .await;
        let answered = of_ingress(&gateway, "round_trip_seconds_count", queue).await;
        assert!(answered < 1.0, "{answered}");
    }
    gateway.add_dispatcher().await;
    for queue in QUEUES {
        // Twice: so a second one was sent after the first came back.
        eventually("canaries that come out", SOON, async || {
            let answered = of_ingress(&gateway, "round_trip_seconds_count", queue).await;
            let since = of_ingress(&gateway, "unanswered_seconds", queue).await;
            let seen = (answered, since);
            (answered >= 2.0 && since < 5.0)
                .then_some(())
                .ok_or(format!("{seen:?}"))
        })
        .await;
    }
    let listed = gateway.admin("/admin/v1/callbacks", None).await;
    assert_eq!(listed["items"], serde_json::json!([]), "{listed}");
    let page = gateway.metrics(GatewayRole::Dispatcher(0)).await;
    let counts = |name: &str| {
        let lines = page.lines().filter(|line| line.starts_with(name));
        let counts = lines.filter_map(|line| line.rsplit_once(' '));
        counts
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .sum::<f64>()
    };
    for name in [
        "ringback_attempts_total",
        "ringback_deferrals_total",
        "ringback_unknown_messages_dropped_total",
        "ringback_unreadable_messages_total",
    ] {
        assert!(page.contains(name) && counts(name) < 1.0, "{name}: {page}");
    }
}
