//! Does a target that attacks its caller get more than its one attempt's worth?
//!
//! Two hundred calls at a time to targets of every kind: each ends as documented, memory stays
//! flat, nothing is followed to where it points, and the next healthy target is called at once.

pub(crate) mod sink;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tests::{GatewayOptions, Role, Trap, World, callback, eventually, together};

use crate::query::{attempts, status};
use sink::{Attack, Sink, gzip_bomb};

/// So many calls to each target at a time.
const EACH: usize = 11;
/// What the process that calls may grow by.
const MOST_GROWTH: u64 = 20 * 1024 * 1024;
/// What may be sent to us of an answer that is cut: what is read of it, and the kernels' buffers.
const MOST_TAKEN: u64 = 16 * 1024 * 1024;
const SOON: Duration = Duration::from_secs(30);
/// Its attempt lasts as long as it may, though its status stands at once.
const BODY_THAT_DRIPS: &str = "body that drips";

/// A kind of target: how its attempt ends, and what became of the callback.
struct Hostile {
    kind: &'static str,
    sink: Sink,
    outcome: &'static str,
    status: &'static str,
}

async fn all(trap: &Trap) -> Vec<Hostile> {
    let trap = trap.address();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let says = |text: &str| Attack::Says(bytes(text));
    let ok = "HTTP/1.1 200 OK\r\n";
    let length = format!("{ok}content-length: 1000\r\n\r\n");
    let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let zipped = gzip_bomb();
    // Without `close`, a connection just about to be closed might be taken for the next call.
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
    let cases: Vec<(&'static str, Attack, &'static str)> = vec![
        (
            "endless body",
            Attack::Floods(bytes(&format!("{ok}\r\n")), bytes("x")),
            "delivered",
        ),
        ("gzip bomb", Attack::Says(bomb), "delivered"),
        (
            "broken chunks",
            says(&format!("{ok}transfer-encoding: chunked\r\n\r\nzz\r\n")),
            "delivered",
        ),
        (
            "reset in the body",
            Attack::Resets(bytes(&format!("{length}abc"))),
            "delivered",
        ),
        (
            BODY_THAT_DRIPS,
            Attack::Drips(bytes(&length), bytes("x"), 1),
            "delivered",
        ),
        (
            "reset in the body of a 500",
            Attack::Resets(bytes("HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\nabc")),
            "answered_5xx",
        ),
        (
            "interim answers without end",
            // Forty every 100 ms: as fast as the machine can, 11 of them would be a test of its
            // cores, which parse nothing else meanwhile.
            Attack::Drips(Vec::new(), interim.repeat(40), 2 * 1024),
            "timeout",
        ),
        (
            "head that drips",
            Attack::Drips(Vec::new(), bytes("HTTP/1.1 200 OK\r\nx: "), 1),
            "timeout",
        ),
        (
            "head without end",
            Attack::Floods(bytes(ok), bytes("x: y\r\n")),
            "malformed_answer",
        ),
        (
            "line without end",
            Attack::Floods(bytes("HTTP/1.1 200 "), bytes("a")),
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
        ("reset", Attack::Resets(Vec::new()), "connection_reset"),
        (
            "redirect inside",
            to(&format!("http://{trap}/")),
            "answered_3xx",
        ),
        (
            "redirect without a scheme",
            to(&format!("//{trap}/")),
            "answered_3xx",
        ),
    ];
    let mut all = Vec::new();
    for (kind, attack, outcome) in cases {
        let status = if outcome == "delivered" {
            "delivered"
        } else {
            "dead"
        };
        let sink = Sink::start(|_| attack).await;
        all.push(Hostile {
            kind,
            sink,
            outcome,
            status,
        });
    }
    let sink = Sink::start(|own| to(&format!("http://{own}/"))).await;
    let (outcome, status) = ("answered_3xx", "dead");
    all.push(Hostile {
        kind: "redirect to itself",
        sink,
        outcome,
        status,
    });
    all
}

/// Calls each target so often at the same time, one attempt each, and then looks how they ended:
/// hundreds that ask all the while would leave the machine no time for the calls.
async fn attacked(world: &World, hostile: &[Hostile], each: usize) {
    let calls = hostile.iter().flat_map(|it| std::iter::repeat_n(it, each));
    let sent = join_all(calls.map(async |it| {
        let mut callback = callback(&format!("http://{}/", it.sink.address));
        // Short where it is waited for, long where a starved machine must not end the attempt.
        let seconds = match it.kind {
            BODY_THAT_DRIPS => 8,
            _ if it.outcome == "timeout" => 4,
            _ => 15,
        };
        callback["options"] = json!({"max_attempts": 1, "timeout_seconds": seconds});
        (it, world.send(&callback).await)
    }))
    .await;
    for (it, id) in sent {
        let body = status(world, &id, it.status).await;
        let attempts = attempts(&body);
        let outcomes: Vec<_> = attempts.iter().map(|it| it.1).collect();
        assert_eq!(outcomes, [it.outcome], "{}", it.kind);
    }
}

#[test]
fn a_target_that_attacks_costs_one_attempt_and_no_memory() {
    together(async {
        let mut world = World::start(|_| GatewayOptions::default().with_journal()).await;
        let trap = Trap::start().await;
        let hostile = all(&trap).await;
        // What a process takes once and keeps: code, pools, buffers for as many calls.
        join_all((0..EACH * hostile.len()).map(async |_| {
            world.send(&world.callback("/slow/1000")).await;
        }))
        .await;
        let warm = EACH * hostile.len();
        eventually("the warming up", SOON, async || {
            (world.callee.book.received().len() == warm).then_some(())
        })
        .await;
        attacked(&world, &hostile, 1).await;

        let pid = world.gateway.doors_out()[0].process.pid();
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
        attacked(&world, &hostile, EACH).await;
        let asked = Instant::now();
        let healthy = world.send(&world.callback("/ok/healthy")).await;
        world.received(&healthy, 1).await;
        let waited = asked.elapsed();
        watching.abort();
        assert!(
            waited < Duration::from_secs(10),
            "a healthy target waited {waited:?}"
        );
        let grown = most.load(Ordering::SeqCst).saturating_sub(before);
        println!(
            "{} calls to {} targets: grown by {} KiB",
            EACH * hostile.len(),
            hostile.len(),
            grown / 1024
        );
        assert!(grown < MOST_GROWTH, "grown by {grown} bytes");

        for it in &hostile {
            let calls = EACH as u64 + 1;
            let what = format!("{}: one request an attempt, and its end", it.kind);
            eventually(&what, SOON, async || {
                let (seen, open) = (it.sink.requests(), it.sink.open());
                let all = seen == calls && open == 0;
                all.then_some(())
                    .ok_or(format!("{seen} requests, {open} open"))
            })
            .await;
            // What was sent is counted at the end.
            let sent = it.sink.most_sent();
            // The interim answers are thrown away as they come, for as long as the attempt lasts.
            let unbounded = it.outcome == "timeout";
            assert!(unbounded || sent < MOST_TAKEN, "{}: {sent} bytes", it.kind);
        }
        assert_eq!(trap.caught(), (0, 0), "a redirect was followed");
        for lane in ["first", "retry"] {
            let series = format!("ringback_attempts_in_flight{{lane=\"{lane}\"}}");
            eventually("every slot back", SOON, async || {
                (world.metric(Role::Dispatcher(0), &series).await == 0).then_some(())
            })
            .await;
        }
        let seen = world.gateway.operators("/api/targets", None).await;
        let targets = seen["targets"].as_array().unwrap();
        assert!(targets.len() >= hostile.len(), "{seen}");
        let busy = targets
            .iter()
            .find(|it| it["in_flight"] != 0 || it["waiting"] != 0);
        assert_eq!(busy, None);
        let log = world.gateway.doors_out()[0].process.log();
        assert!(!log.contains("panicked"), "a panic");
    });
}

/// A running process's resident memory, in bytes.
fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}
