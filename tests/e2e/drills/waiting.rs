//! What waits says for what, and only what a process holds is being delivered.

use serde_json::json;
use tests::{MetricsRecording, eventually, on_shared_runtime};

use super::{
    SOON, TWO_HOURS, admin, doctor_says, is_rabbitmq, of_app, run, shows, start_with, status,
};

#[test]
fn a_slow_first_attempt_is_delivering_to_its_caller_and_in_flight_to_operators() {
    on_shared_runtime(async {
        let fixture = start_with(&[]).await;
        let fixture = fixture.in_test();
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        let body = of_app("drill-slow", &fixture.callee.url("/slow/12000"));
        let id = fixture.send(&body).await;
        fixture.received(&id, 1).await;
        eventually(
            "its caller to hear that it is delivering",
            SOON,
            async || {
                let status = status(&fixture, &id).await;
                (status == "delivering").then_some(()).ok_or(status)
            },
        )
        .await;
        let words = [
            "status  delivering",
            "Attempt 1 is in flight at ",
            " since ",
        ];
        shows(admin(&fixture), &id, &words).await;
        recording.fires(&[], TWO_HOURS).await;
        shows(admin(&fixture), &id, &["status  delivered"]).await;
        assert_eq!(status(&fixture, &id).await, "delivered");
    });
}

#[test]
fn a_delay_and_a_pause_are_named_with_their_end_or_their_author() {
    on_shared_runtime(async {
        let fixture = start_with(&[]).await;
        let fixture = fixture.in_test();
        let recording = MetricsRecording::begin(&fixture.gateway).await;
        let url = fixture.callee.url("/ok");
        let mut body = of_app("drill-delay", &url);
        body["options"] = json!({"delay_seconds": 7_200});
        let id = fixture.send(&body).await;
        let words = [
            "status  queued",
            "Its caller asked for a delay. The next attempt is at ",
        ];
        shows(admin(&fixture), &id, &words).await;

        let pause = ["pause", "--app", "drill-pause", "--reason", "they migrate"];
        let (paused, output) = run(admin(&fixture), &pause).await;
        assert!(paused, "{output}");
        let id = fixture.send(&of_app("drill-pause", &url)).await;
        let words = [
            "status  queued",
            "(paused). This spends no attempt. The next try is at ",
            "App drill-pause is paused by night-shift@",
            ": they migrate.",
        ];
        shows(admin(&fixture), &id, &words).await;
        recording.fires(&[], TWO_HOURS).await;
        let alerts = ["RingbackPauseForgotten"];
        recording.fires(&alerts, TWO_HOURS * 13).await;
        // The command that it names, and the one that waits for nothing.
        let resume = ["resume", "--app", "drill-pause", "--reason", "it is done"];
        let retry = ["callback", "retry-now", &id, "--reason", "at once", "--yes"];
        for act in [&resume[..], &retry[..]] {
            let (done, output) = run(admin(&fixture), act).await;
            assert!(done, "{output}");
        }
        shows(admin(&fixture), &id, &["status  delivered"]).await;
    });
}

#[test]
fn what_is_due_and_held_by_nobody_waits_and_says_why() {
    on_shared_runtime(async {
        let mut fixture = start_with(&[("RINGBACK__RETRY__SCHEDULE", "2s,1h")]).await;
        // Operators ask it once no dispatcher runs.
        let operators = match is_rabbitmq() {
            true => Some(fixture.gateway.start_instance("admin").await),
            false => None,
        };
        let instances = fixture.gateway.instances().chain(&operators);
        let recording = MetricsRecording::of(instances).await;
        let url = fixture.callee.url("/status/503");
        let retried = fixture.send(&of_app("drill-due", &url)).await;
        fixture.received(&retried, 1).await;
        let stop = ["pause", "--deliveries", "--reason", "the network moves"];
        let (stopped, output) = run(admin(&fixture), &stop).await;
        assert!(stopped, "{output}");
        let first = fixture.send(&of_app("drill-due", &url)).await;
        let in_force = "Deliveries are stopped by night-shift@";
        for (id, status) in [(&retried, "retrying"), (&first, "queued")] {
            let status = format!("status  {status}");
            let words = [
                &*status,
                " attempt is due since ",
                "not hold it", // Embedded: by the one process.
                in_force,
                ": the network moves.",
            ];
            let mut words = words.to_vec();
            if is_rabbitmq() {
                words[2] = " processes that answered holds it.";
            }
            shows(admin(&fixture), id, &words).await;
        }
        recording.fires(&["RingbackStopped"], TWO_HOURS).await;
        // A caller hears no pause, and not that it is being delivered.
        assert_eq!(status(&fixture, &retried).await, "retrying");
        assert_eq!(status(&fixture, &first).await, "queued");
        let Some(operators) = operators else {
            return;
        };
        let resume = ["resume", "--deliveries", "--reason", "it has moved"];
        let dispatcher = &mut fixture.gateway.dispatchers[0].process;
        dispatcher.sigterm();
        dispatcher.wait_exit(SOON).await;
        let (resumed, output) = run(operators.admin, &resume).await;
        assert!(resumed, "{output}");
        let words = [
            "status  retrying",
            "No dispatcher answers, so nothing is attempted: start one (`",
            "ringback dispatcher`)",
        ];
        let shown = shows(operators.admin, &retried, &words).await;
        assert!(!shown.contains("in flight"), "{shown}");
        doctor_says(
            operators.admin,
            "consumers",
            &["failure ", "no dispatcher answers"],
        )
        .await;
        let alerts = [
            "RingbackBacklogBehind",
            "RingbackNoDispatcher",
            "RingbackNothingConsumed",
            "RingbackProcessDown",
        ];
        recording.fires(&alerts, TWO_HOURS).await;
        // The command that both name.
        let started = fixture.gateway.start_instance("dispatcher").await;
        fixture.received(&retried, 2).await;
        shows(started.admin, &retried, &["attempt 2: "]).await;
        doctor_says(
            operators.admin,
            "consumers",
            &["ok ", "1 dispatcher answers"],
        )
        .await;
    });
}
