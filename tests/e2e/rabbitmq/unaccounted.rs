//! A callback whose message is gone is marked `unaccounted`, and one that waits never is.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    BrokerKind, Callee, Gateway, GatewayOptions, GatewayRole, Process, RabbitMq, callback,
    eventually,
};

const SOON: Duration = Duration::from_secs(180);

/// What the operators' API shows of a callback.
async fn shown(gateway: &Gateway<'_>, id: &str) -> Value {
    let path = format!("/admin/v1/callbacks/{id}");
    gateway.admin(&path, None).await
}

/// Waits until operators see this status.
async fn becomes(gateway: &Gateway<'_>, id: &str, status: &str) -> Value {
    eventually(status, SOON, async || {
        let shown = shown(gateway, id).await;
        match shown["status"] == status {
            true => Ok(shown),
            false => Err(shown.to_string()),
        }
    })
    .await
}

/// POSTs a callback that is due in 12 s, and takes its message out of the queue in which it waits.
async fn accepted_and_lost(gateway: &Gateway<'_>, url: &str) -> (String, Vec<u8>) {
    let mut later = callback(url);
    later["options"] = json!({ "delay_seconds": 12 });
    let id = gateway.post(&later).await.accepted();
    let message = eventually("the delayed message", SOON, async || {
        let taken = gateway.take("delay.03").await?;
        taken.ok_or_else(|| "it is not there".to_owned())
    })
    .await;
    assert_eq!(message.id, id);
    eventually("its record", SOON, async || {
        let answer = gateway.query(&id).await;
        (answer.status == 200)
            .then_some(())
            .ok_or(answer.status.to_string())
    })
    .await;
    (id, message.body.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_whose_message_is_gone_is_unaccounted_until_a_record_of_it_comes() {
    BrokerKind::must_be_rabbitmq();
    let (rabbit, callee) = (RabbitMq::shared().await, Callee::start().await);
    let options = GatewayOptions::default()
        .with("RINGBACK__JOURNAL__UNACCOUNTED_AFTER", "6s")
        .with_journal();
    let gateway = Gateway::start(rabbit, options).await;
    let paused = "http://127.0.0.9:9";
    let pause = json!({ "target": paused, "reason": "a test", "actor": "ann" });
    gateway.admin("/admin/v1/pauses", Some(&pause)).await;

    let (lost, body) = accepted_and_lost(&gateway, &callee.url("/ok/lost")).await;
    let (of_paused, _) = accepted_and_lost(&gateway, paused).await;
    // A dead letter whose record was lost.
    let (dead, letter) = accepted_and_lost(&gateway, &callee.url("/ok/dead")).await;
    let dead_letters = gateway.name("dead");
    rabbit.publish(&dead_letters, "", &letter).await.unwrap();
    // In flight for longer than the setting, and due long after the others.
    let mut slow = callback(&callee.url("/slow/16000"));
    slow["options"] = json!({ "timeout_seconds": 60 });
    let slow = gateway.post(&slow).await.accepted();
    let mut delayed = callback(&callee.url("/ok/delayed"));
    delayed["options"] = json!({ "delay_seconds": 600 });
    let delayed = gateway.post(&delayed).await.accepted();

    let explained = becomes(&gateway, &lost, "unaccounted").await;
    let explanation = explained["explanation"].as_str().unwrap();
    assert!(explanation.contains("cannot be replayed"), "{explained}");
    let listed = gateway.admin("/admin/v1/callbacks?status=unaccounted", None);
    let listed = listed.await;
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
    assert_eq!(listed["items"][0]["request_id"], lost);
    // Its caller hears what was last known.
    for _ in 0..2 {
        let answered = gateway.query(&lost).await;
        let report = answered.json();
        assert_eq!(answered.status, 200, "{report}");
        assert_eq!(
            (&report["code"], &report["status"]),
            (&json!("202"), &json!("queued"))
        );
        assert!(report.get("next_attempt_at").is_none(), "{report}");
    }
    let ids = json!({ "ids": [lost], "reason": "a test", "actor": "ann" });
    let replayed = gateway
        .admin("/admin/v1/dead-letters/replay", Some(&ids))
        .await;
    assert_eq!(replayed["not_dead_letters"], json!([lost]), "{replayed}");

    becomes(&gateway, &dead, "dead").await;
    becomes(&gateway, &slow, "delivered").await;
    assert_eq!(shown(&gateway, &delayed).await["status"], "queued");
    assert_eq!(shown(&gateway, &of_paused).await["status"], "queued");
    let marked = async || {
        let page = gateway.metrics(GatewayRole::Dispatcher(0)).await;
        let name = "ringback_callbacks_unaccounted_total ";
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    };
    assert_eq!(marked().await, "1");

    // The message surfaces after all.
    rabbit
        .publish(&gateway.name("due"), "", &body)
        .await
        .unwrap();
    becomes(&gateway, &lost, "delivered").await;
    assert_eq!(gateway.query(&lost).await.json()["code"], "000");

    let admin = gateway.admin_url();
    let words = ["resume", paused, "--reason", "a test", "--admin", &admin];
    let mut resume = Process::ringback(&words, [("USER", "ann")]);
    let ended = resume.wait_exit(SOON).await;
    assert!(ended.success(), "{}", resume.log());
    becomes(&gateway, &of_paused, "unaccounted").await;
    assert_eq!(marked().await, "2");
    let cancelled = gateway.cancel(&of_paused).await.json();
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    // No probe is left anywhere.
    let depths = gateway.depths().await.unwrap();
    for queue in ["first", "retry", "unreadable", "unrouted"] {
        assert_eq!(depths.get(queue), None, "{depths:?}");
    }
}
