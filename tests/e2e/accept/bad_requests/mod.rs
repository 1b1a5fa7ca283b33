//! Ten thousand bad requests, generated from one seed and mixed with good ones: each gets its
//! documented answer and has no other effect.
//!
//! - `bodies.rs`: bodies, fields, URLs, content types, credentials
//! - `framing.rs`: requests on the wire that are invalid or look like two
//! - `slow.rs`: heads and bodies that take too long
//! - `keep_alive.rs`: the head timeout on persistent connections

mod bodies;
mod framing;
mod keep_alive;
mod slow;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::{StreamExt as _, stream};
use tests::{
    Callee, GatewayOptions, GatewayRole, SharedGateway, TestTarget, eventually, http,
    on_shared_runtime, until_none_left,
};

const SEED: u64 = 20_261_124;
const KEY: &str = "rbk_corpus";
/// The key of another app.
const OTHER_KEY: &str = "rbk_corpus-of-another";

/// How long there may be no delivery while callbacks are left.
const STUCK: Duration = Duration::from_secs(60);

/// A request with a known answer.
pub(super) struct Bad {
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) status: u16,
}

fn hash(key: &str) -> String {
    delivery::auth::KeyHash::of(key.as_bytes()).to_string()
}

#[test]
fn ten_thousand_bad_requests_are_answered_as_documented_without_effect() {
    on_shared_runtime(async {
        let forbidden = TestTarget::silent();
        let fixture = SharedGateway::start(|callee: &Callee| {
            let url = callee.url("");
            let address = url.split('/').nth(2).unwrap().to_owned();
            let options = GatewayOptions {
                allow: address,
                ..GatewayOptions::default()
            };
            options
                .with_ingress("RINGBACK__AUTH__MODE", "bearer")
                .with_ingress("RINGBACK__APPS__app1__KEYS", &hash(KEY))
                .with_ingress("RINGBACK__APPS__app2__KEYS", &hash(OTHER_KEY))
                .with_ingress("RINGBACK__INGRESS__BODY_TIMEOUT", "5s")
        })
        .await;
        let mut good = fixture.callback("/ok");
        good["app_id"] = "app1".into();
        let good = good.to_string();
        let mut rng = Rng::with_seed(SEED);
        let mut corpus = bodies::all(&good, forbidden.address(), &mut rng);
        rng.shuffle(&mut corpus);
        let mut smuggled = fixture.callback("/smuggled");
        smuggled["app_id"] = "app1".into();
        let framed = framing::all(&good, &smuggled.to_string(), KEY, &mut rng);
        let count = corpus.len() + framed.len();
        assert!(count >= 10_000, "{count}");

        let authorization = format!("Bearer {KEY}");
        let good_headers = [
            ("content-type", "application/json"),
            ("authorization", &*authorization),
        ];
        let mut wrong: BTreeMap<String, String> = BTreeMap::new();
        let mut accepted = 0;
        // The statuses of all answers, good and bad.
        let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
        let (fixture, good, good_headers) = (&fixture, &good, &good_headers);
        let answers = stream::iter(corpus.iter().enumerate()).map(|(place, bad)| async move {
            let headers: Vec<_> = bad
                .headers
                .iter()
                .map(|(name, it)| (*name, &**it))
                .collect();
            let answer = fixture.gateway.post_raw(bad.body.clone(), &headers).await;
            let mut mistakes = Vec::new();
            let status = answer.status.to_string();
            if answer.status != bad.status {
                let body = String::from_utf8_lossy(&bad.body)
                    .chars()
                    .take(300)
                    .collect::<String>();
                let what = format!("{} instead of {}: {body}", answer.status, bad.status);
                mistakes.push((bad.kind, what));
            }
            if place % 10 == 0 {
                let answer = fixture.gateway.post_raw(good.clone(), good_headers).await;
                answer.accepted();
            }
            (mistakes, status, usize::from(place % 10 == 0))
        });
        let mut answers = answers.buffer_unordered(16);
        while let Some((mistakes, status, good)) = answers.next().await {
            accepted += good;
            *statuses.entry(status).or_default() += 1;
            wrong.extend(
                mistakes
                    .into_iter()
                    .map(|(kind, what)| (kind.to_owned(), what)),
            );
        }
        let address = fixture.gateway.ingress.address;
        let framed = stream::iter(&framed).map(|bad| async move {
            let answer = http::raw(address, &bad.bytes).await;
            (bad, answer)
        });
        let mut framed = framed.buffer_unordered(64);
        while let Some((bad, answer)) = framed.next().await {
            let answers = answer.split("HTTP/1.").skip(1);
            let seen: Vec<&str> = answers.map(|it| &it[2..5]).collect();
            for status in &seen {
                *statuses.entry((*status).to_owned()).or_default() += 1;
            }
            let silent = seen.is_empty() && bad.silence.is_some();
            if !silent && seen != bad.statuses {
                let sent = bad.bytes.escape_ascii().to_string();
                let sent: String = sent.chars().take(300).collect();
                let what = format!("{seen:?} instead of {:?} for {sent}", bad.statuses);
                wrong.insert(bad.kind.to_owned(), what);
            }
        }
        slow::all(address, KEY).await;
        assert!(wrong.is_empty(), "seed {SEED}: {wrong:#?}");

        let answers: usize = statuses.values().sum();
        assert!(answers >= 10_000, "{statuses:?}");
        let failure = statuses.keys().find(|status| status.starts_with('5'));
        assert_eq!(failure, None, "{statuses:?}");

        let page = fixture.gateway.metrics(GatewayRole::Ingress).await;
        let line = format!("ringback_callbacks_accepted_total {accepted}");
        assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        let refused = |code: &str| {
            let series = format!("ringback_callbacks_rejected_total{{code=\"{code}");
            let mut counts = page.lines().filter(|line| line.starts_with(&series));
            counts.any(|line| !line.ends_with(" 0"))
        };
        // That there was no 5xx means something because there was a 400.
        assert!(refused("400\"}") && !refused("50"), "{page}");
        for instance in fixture.gateway.instances() {
            let log = instance.process.log();
            let bad = log
                .lines()
                .find(|line| line.contains("panicked") || line.contains("\"level\":\"ERROR\""));
            assert_eq!(bad, None, "{}", instance.role());
        }
        until_none_left("good ones not yet delivered", STUCK, async || {
            let received = fixture.callee.requests.received().len();
            let missing = accepted.saturating_sub(received);
            Ok((missing, format!("{received} of {accepted}")))
        })
        .await;
        // The last callback arrives at its target before it has left its queue.
        eventually("empty queues", STUCK, async || {
            let waiting = fixture.gateway.depths().await?;
            let empty = waiting.is_empty();
            empty.then_some(()).ok_or(format!("{waiting:?}"))
        })
        .await;
        assert_eq!(forbidden.contacts(), (0, 0));
        let received = fixture.callee.requests.received();
        assert_eq!(received.len(), accepted);
        assert!(
            received.iter().all(|it| it.path == "/ok"),
            "a follow-up came through"
        );
    });
}
