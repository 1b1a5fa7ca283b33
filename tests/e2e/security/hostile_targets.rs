//! Targets that attack the dispatcher: a target gets no more than its one attempt.
//!
//! Two hundred concurrent calls to targets of every kind: each attempt ends as documented, memory
//! stays flat, no redirect is followed, and the next healthy target is called at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tests::{
    GatewayOptions, GatewayRole, SharedGateway, Step, TestTarget, callback, eventually,
    on_shared_runtime,
};

use crate::accept::query::{attempts, status};

/// Concurrent calls to each target.
const CALLS: usize = 11;
/// Limit for the growth of the calling process.
const MAX_GROWTH: u64 = 20 * 1024 * 1024;
/// Limit for a truncated answer: what is read of it, and the kernel's buffers.
const MAX_SENT: u64 = 16 * 1024 * 1024;
const SOON: Duration = Duration::from_secs(30);
/// The attempt lasts until its timeout, although the status is known at once.
const BODY_THAT_DRIPS: &str = "body that drips";

/// A kind of target: the outcome of its attempt, and the status of the callback.
struct Hostile {
    kind: &'static str,
    target: TestTarget,
    outcome: &'static str,
    status: &'static str,
}

fn all(forbidden: &TestTarget) -> Vec<Hostile> {
    let forbidden = forbidden.address();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let says = |text: &str| Step::answer(text);
    let ok = "HTTP/1.1 200 OK\r\n";
    let length = format!("{ok}content-length: 1000\r\n\r\n");
    let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let zipped = gzip_bomb();
    // Without `close`, the next call might use a connection that is just about to be closed.
    let close = "connection: close\r\n";
    let mut bomb = bytes(&format!(
        "{ok}{close}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        zipped.len()
    ));
    bomb.extend_from_slice(&zipped);
    let many = format!("{ok}{}\r\n", "a:b\r\n".repeat(2_000_000));
    let to = |place: &str| {
        let head = "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n";
        says(&format!("{head}{close}location: {place}\r\n\r\n"))
    };
    let cases: Vec<(&'static str, Vec<Step>, &'static str)> = vec![
        (
            "endless body",
            Step::flood(bytes(&format!("{ok}\r\n")), bytes("x")),
            "delivered",
        ),
        ("gzip bomb", Step::answer(bomb), "delivered"),
        (
            "broken chunks",
            says(&format!("{ok}transfer-encoding: chunked\r\n\r\nzz\r\n")),
            "delivered",
        ),
        (
            "reset in the body",
            Step::answer_and_reset(bytes(&format!("{length}abc"))),
            "delivered",
        ),
        (
            BODY_THAT_DRIPS,
            drip(bytes(&length), bytes("x"), 1),
            "delivered",
        ),
        (
            "reset in the body of a 500",
            Step::answer_and_reset(bytes("HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\nabc")),
            "answered_5xx",
        ),
        (
            "interim answers without end",
            Step::flood(Vec::new(), interim.repeat(40)),
            "answered_1xx",
        ),
        (
            "interim answers over and over",
            drip(Vec::new(), interim.to_vec(), 10 * interim.len()),
            "answered_1xx",
        ),
        (
            "interim answers, then the answer",
            Step::answer(
                [
                    &interim.repeat(32)[..],
                    b"HTTP/1.1 204 No\r\nconnection: close\r\n\r\n",
                ]
                .concat(),
            ),
            "delivered",
        ),
        (
            "head that drips",
            drip(Vec::new(), bytes("HTTP/1.1 200 OK\r\nx: "), 1),
            "timeout",
        ),
        (
            "head without end",
            Step::flood(bytes(ok), bytes("x: y\r\n")),
            "malformed_answer",
        ),
        (
            "line without end",
            Step::flood(bytes("HTTP/1.1 200 "), bytes("a")),
            "malformed_answer",
        ),
        ("two million lines", says(&many), "malformed_answer"),
        (
            "two lengths",
            says(&format!(
                "{ok}content-length: 1\r\ncontent-length: 2\r\n\r\nab"
            )),
            "malformed_answer",
        ),
        (
            "no HTTP",
            says("\u{0}\u{1}\u{16} what do you want?\r\n\r\n"),
            "malformed_answer",
        ),
        ("nothing", says(""), "connection_reset"),
        (
            "half a head",
            says("HTTP/1.1 200 OK\r\ncontent-le"),
            "connection_reset",
        ),
        (
            "reset",
            Step::answer_and_reset(Vec::new()),
            "connection_reset",
        ),
        (
            "redirect inside",
            to(&format!("http://{forbidden}/")),
            "answered_3xx",
        ),
        (
            "redirect without a scheme",
            to(&format!("//{forbidden}/")),
            "answered_3xx",
        ),
    ];
    let mut all = Vec::new();
    for (kind, script, outcome) in cases {
        let status = if outcome == "delivered" {
            "delivered"
        } else {
            "dead"
        };
        let target = TestTarget::raw(script);
        all.push(Hostile {
            kind,
            target,
            outcome,
            status,
        });
    }
    let target = TestTarget::raw_with(|own| to(&format!("http://{own}/")));
    let (outcome, status) = ("answered_3xx", "dead");
    all.push(Hostile {
        kind: "redirect to itself",
        target,
        outcome,
        status,
    });
    all
}

/// Sends the first bytes once, and the others over and over, `count` every 100 ms.
fn drip(first: Vec<u8>, then: Vec<u8>, count: usize) -> Vec<Step> {
    vec![
        Step::WaitForHead,
        Step::Write(first),
        Step::DripForever(then, count, Duration::from_millis(100)),
    ]
}

/// 15 MiB of zeros in 15 kB, which would pass a limit on the size.
fn gzip_bomb() -> Vec<u8> {
    const BEGIN: &[u8] =
        b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x08\x5f\xa0";
    const END: &[u8] = b"\x3e\x03\x1c\xea\x38\xa7\0\0\x10\0";
    /// The length of a gzip member of one MiB; members may be concatenated (RFC 1952, 2.2).
    const MEMBER: usize = 1_051;
    let mut member = BEGIN.to_vec();
    member.resize(MEMBER - END.len(), 0);
    member.extend_from_slice(END);
    member.repeat(15)
}

/// Calls each target `each` times at once, one attempt each, and checks the outcomes afterwards:
/// hundreds of queries meanwhile would leave no time for the calls.
async fn attacked(fixture: &SharedGateway, hostile: &[Hostile], each: usize) {
    let calls = hostile.iter().flat_map(|it| std::iter::repeat_n(it, each));
    let sent = join_all(calls.map(async |it| {
        let mut callback = callback(&it.target.url());
        // Short where it is waited for, long where a starved machine must not end the attempt.
        let seconds = match it.kind {
            BODY_THAT_DRIPS => 8,
            _ if it.outcome == "timeout" => 4,
            _ => 15,
        };
        callback["options"] = json!({"max_attempts": 1, "timeout_seconds": seconds});
        (it, fixture.send(&callback).await)
    }))
    .await;
    for (it, id) in sent {
        let body = status(fixture, &id, it.status).await;
        let attempts = attempts(&body);
        let outcomes: Vec<_> = attempts.iter().map(|it| it.1).collect();
        assert_eq!(outcomes, [it.outcome], "{}", it.kind);
    }
}

#[test]
fn an_attacking_target_costs_one_attempt_and_no_memory() {
    on_shared_runtime(async {
        let mut fixture = SharedGateway::start(|_| GatewayOptions::default().with_journal()).await;
        let forbidden = TestTarget::silent();
        let hostile = all(&forbidden);
        // What a process allocates once and keeps: code, pools, buffers for as many calls.
        join_all((0..CALLS * hostile.len()).map(async |_| {
            fixture.send(&fixture.callback("/slow/1000")).await;
        }))
        .await;
        let warm = CALLS * hostile.len();
        eventually("the warming up", SOON, async || {
            (fixture.callee.requests.received().len() == warm).then_some(())
        })
        .await;
        attacked(&fixture, &hostile, 1).await;

        let pid = fixture.gateway.dispatching_instances()[0].process.pid();
        let before = rss(pid);
        let most = Arc::new(AtomicU64::new(before));
        let watching = tokio::spawn({
            let most = most.clone();
            async move {
                loop {
                    most.fetch_max(rss(pid), Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        attacked(&fixture, &hostile, CALLS).await;
        let asked = Instant::now();
        let healthy = fixture.send(&fixture.callback("/ok/healthy")).await;
        fixture.received(&healthy, 1).await;
        let waited = asked.elapsed();
        watching.abort();
        assert!(
            waited < Duration::from_secs(10),
            "a healthy target waited {waited:?}"
        );
        let grown = most.load(Ordering::SeqCst).saturating_sub(before);
        println!(
            "{} calls to {} targets: grown by {} KiB",
            CALLS * hostile.len(),
            hostile.len(),
            grown / 1024
        );
        assert!(grown < MAX_GROWTH, "grown by {grown} bytes");

        for it in &hostile {
            let calls = CALLS as u64 + 1;
            let what = format!("{}: one request an attempt, and its end", it.kind);
            eventually(&what, SOON, async || {
                let (seen, open) = (it.target.request_count(), it.target.open_connections());
                let all = seen == calls && open == 0;
                all.then_some(())
                    .ok_or(format!("{seen} requests, {open} open"))
            })
            .await;
            // The bytes sent are counted at the end of the connection.
            let sent = it.target.max_sent_bytes();
            assert!(sent < MAX_SENT, "{}: {sent} bytes", it.kind);
        }
        assert_eq!(forbidden.contacts(), (0, 0), "a redirect was followed");
        for queue in ["first", "retry"] {
            let series = format!("ringback_attempts_in_flight{{queue=\"{queue}\"}}");
            eventually("every slot back", SOON, async || {
                (fixture.metric(GatewayRole::Dispatcher(0), &series).await == 0).then_some(())
            })
            .await;
        }
        let seen = fixture.gateway.admin("/admin/v1/targets", None).await;
        let targets = seen["items"].as_array().unwrap();
        assert!(targets.len() >= hostile.len(), "{seen}");
        let busy = targets
            .iter()
            .find(|it| it["in_flight"] != 0 || it["waiting"] != 0);
        assert_eq!(busy, None);
        let log = fixture.gateway.dispatching_instances()[0].process.log();
        assert!(!log.contains("panicked"), "a panic");
    });
}

/// The resident memory of a running process, in bytes.
fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}
