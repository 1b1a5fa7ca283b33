//! Failures that strangers cause: they are counted by peer, slowed, and fill no log.

use std::time::Duration;

use delivery::auth::KeyHash;
use futures_util::{StreamExt as _, stream};
use reqwest::Client;
use tests::{GatewayOptions, GatewayRole, SharedGateway, eventually, http, on_shared_runtime};
use tokio::time::Instant;

const TOKEN: &str = "token-of-the-operators-0123456789";
const FAILURES: usize = 2_000;
const SOON: Duration = Duration::from_secs(30);

fn lines(log: &str, message: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains(message));
    lines.map(str::to_owned).collect()
}

async fn fixture() -> SharedGateway {
    SharedGateway::start(|_| {
        let hash = KeyHash::of(b"rbk_key-of-an-app-0123456789").to_string();
        GatewayOptions::default()
            .with("RINGBACK__AUTH__MODE", "bearer")
            .with("RINGBACK__APPS__A__KEYS", &hash)
            .with("RINGBACK__ADMIN__TOKEN", TOKEN)
    })
    .await
}

#[test]
fn unauthenticated_requests_cost_a_line_a_second_and_are_all_counted() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        let (gateway, begun) = (&fixture.gateway, Instant::now());
        let body = fixture.callback("/ok").to_string();
        let send = |headers: &'static [(&str, &str)]| {
            let body = body.clone();
            async move {
                let answer = gateway.post_raw(body, headers).await;
                assert_eq!(answer.status, 401);
            }
        };
        let wrong: &[(&str, &str)] = &[("authorization", "Bearer rbk_wrong")];
        let requests = (0..FAILURES).map(|count| send(if count % 2 == 0 { wrong } else { &[] }));
        stream::iter(requests)
            .buffer_unordered(16)
            .collect::<Vec<()>>()
            .await;
        let log = gateway.ingress.process.log();
        let found = lines(&log, "authentication failed");
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
        let most = 2 * (seconds + 2); // Two kinds.
        assert!(
            (2..=most).contains(&found.len()),
            "{} of {most}",
            found.len()
        );
        assert!(found[0].contains("127.0.0.1"), "{}", found[0]);
        let counted = |reason| format!("ringback_auth_failures_total{{reason=\"{reason}\"}}");
        for reason in ["wrong", "missing"] {
            let count = fixture.metric(GatewayRole::Ingress, &counted(reason)).await;
            assert_eq!(usize::try_from(count).unwrap(), FAILURES / 2, "{reason}");
        }
        // What was suppressed is told by the next line.
        eventually("a later line", SOON, async || {
            gateway.post_raw(body.clone(), wrong).await;
            let log = gateway.ingress.process.log();
            let found = lines(&log, "authentication failed");
            let told = found.iter().any(|line| !line.contains("\"suppressed\":0"));
            told.then_some(()).ok_or(format!("{found:?}"))
        })
        .await;
    });
}

#[test]
fn wrong_tokens_of_operators_are_logged_and_slowed_and_valid_ones_are_not() {
    on_shared_runtime(async {
        let fixture = fixture().await;
        let fixture = fixture.in_test();
        let url = format!("{}/admin/v1/targets", fixture.gateway.admin_url());
        let ask = async |client: &Client, token: &str| {
            let answer = client.get(&url).bearer_auth(token).send().await.unwrap();
            answer.status().as_u16()
        };
        let client = http::client();
        let begun = Instant::now();
        for number in 0..13 {
            assert_eq!(ask(&client, &format!("wrong-{number}")).await, 401);
        }
        // 100, 200 and 400 ms.
        assert!(
            begun.elapsed() >= Duration::from_millis(700),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(ask(&client, TOKEN).await, 200);
        // Very many at a time: most are refused unseen, and another address has access.
        let guesses = (0..200).map(|_| ask(&client, "wrong"));
        let guesses = stream::iter(guesses)
            .buffer_unordered(64)
            .collect::<Vec<u16>>();
        let other = Client::builder()
            .no_proxy()
            .local_address(Some([127, 0, 0, 2].into()));
        let other = other.build().unwrap();
        let valid = async {
            for _ in 0..5 {
                assert_eq!(ask(&other, TOKEN).await, 200);
            }
        };
        let (guesses, ()) = tokio::join!(guesses, valid);
        assert!(
            guesses.contains(&429) && guesses.contains(&401),
            "{guesses:?}"
        );
        let dispatcher = fixture.gateway.dispatchers.first();
        let process = &dispatcher.unwrap_or(&fixture.gateway.ingress).process;
        let found = lines(&process.log(), "operator request rejected");
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
        let most = 2 * (seconds + 2);
        assert!(
            (2..=most).contains(&found.len()),
            "{} of {most}",
            found.len()
        );
        assert!(
            found[0].contains("127.0.0.1") && !found[0].contains("wrong-"),
            "{}",
            found[0]
        );
        let series = "ringback_operator_auth_failures_total{reason=\"unauthenticated\"}";
        let counted = fixture.metric(GatewayRole::Dispatcher(0), series).await;
        assert!(counted >= 13, "{counted}");
    });
}
