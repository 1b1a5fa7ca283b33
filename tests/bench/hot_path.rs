//! Cost of the pure parts of the hot path: `cargo bench -p tests`. Results are in docs/benchmarks.

#![expect(clippy::unwrap_used, reason = "a bench fails loudly")]

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use contract::{Message, Request, Rules};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use delivery::signature::Signer;
use delivery::{DecisionInput, Guard, Outcome, Schedule, TargetUrl, decide};

const URL: &str = "https://hooks.shop.example/callbacks/orders?token=0123456789abcdef";
const SECRET: &str = "whsec_c2hvcC1zaG9wLXNob3Atc2hvcC1zaG9wLXNob3A=";

/// A callback whose `request_message` has about this many bytes.
fn body(bytes: usize) -> Bytes {
    let text = "订单x".repeat(bytes / 7);
    Bytes::from(format!(
        r#"{{"callback_url":"{URL}","app_id":"shop","message_type":"order.paid","request_message":{{"n":1,"text":"{text}"}}}}"#
    ))
}

fn message(bytes: usize) -> Message {
    let request = Request::parse(&body(bytes), &Rules::default()).unwrap();
    Message {
        request_id: uuid::Uuid::from_u128(0x0199_6d2c_4f00_7a3b_8c1d_2e3f_4a5b_6c7d),
        app_id: request.app_id,
        caller_no: request.caller_no,
        callee_no: request.callee_no,
        message_type: request.message_type,
        callback_url: request.callback_url,
        options: request.options,
        accepted_at: 1_764_000_000_000,
        generation: 0,
        attempt: 1,
        deferrals: 0,
        hold: 0,
        not_before: None,
        scheduled_at: None,
        traceparent: None,
        tracestate: None,
        reply_to: None,
        history: Vec::new(),
        unknown: contract::UnknownFields::default(),
        request_message: request.request_message,
    }
}

fn messages(criterion: &mut Criterion) {
    for bytes in [512, 16 * 1024] {
        let mut group = criterion.benchmark_group(format!("{bytes} B"));
        group.throughput(Throughput::Bytes(bytes as u64));
        let (body, rules) = (body(bytes), Rules::default());
        group.bench_function("parse a request", |bench| {
            bench.iter(|| Request::parse(black_box(&body), &rules).unwrap());
        });
        let message = message(bytes);
        group.bench_function("encode a message", |bench| {
            bench.iter(|| black_box(&message).encode());
        });
        let encoded = Bytes::from(message.encode());
        group.bench_function("decode a message", |bench| {
            bench.iter(|| Message::decode(black_box(&encoded)).unwrap());
        });
        let signing = Signer::parse([SECRET]).unwrap();
        group.bench_function("sign a call", |bench| {
            bench.iter(|| signing.sign("01996d2c-4f00", 1_764_000_000, black_box(&encoded)));
        });
        group.finish();
    }
}

fn decisions(criterion: &mut Criterion) {
    criterion.bench_function("parse a URL", |bench| {
        bench.iter(|| TargetUrl::parse(black_box(URL)).unwrap());
    });
    let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let addresses: [IpAddr; 2] = ["8.8.8.8", "2606:4700::1111"].map(|it| it.parse().unwrap());
    criterion.bench_function("guard two addresses", |bench| {
        bench.iter(|| addresses.map(|it| guard.admit("hooks.shop.example", black_box(it))));
    });
    let schedule = Schedule::new([5, 30, 120, 600].map(Duration::from_secs).to_vec()).unwrap();
    let failed = Outcome::Answered {
        status: 503,
        retry_after: None,
    };
    criterion.bench_function("decide", |bench| {
        bench.iter_batched(
            || DecisionInput {
                attempt: 2,
                schedule: &schedule,
                max_attempts: None,
                expires_at_ms: None,
                now_ms: 1_764_000_000_000,
                chance: 0.5,
                deferrals: 0,
            },
            |input| decide(black_box(&failed), &input),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(hot_path, messages, decisions);
criterion_main!(hot_path);
