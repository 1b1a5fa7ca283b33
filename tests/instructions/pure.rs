//! Instructions of the pure parts of the hot path: what one callback costs whoever runs it, whatever else
//! the machine does. `tests/instruction-counts` runs them and compares with `counts.json`.

#![expect(clippy::unwrap_used, reason = "a bench fails loudly")]

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use contract::{Message, Request, Rules};
use delivery::signature::Signer;
use delivery::{DecisionInput, Guard, Outcome, Schedule, TargetUrl, Verdict, decide};
use gungraun::{library_benchmark, library_benchmark_group, main};

const URL: &str = "https://hooks.shop.example/callbacks/orders?token=0123456789abcdef";
const SECRET: &str = "whsec_c2hvcC1zaG9wLXNob3Atc2hvcC1zaG9wLXNob3A=";
/// Bytes of `request_message`.
const SMALL: usize = 512;
const LARGE: usize = 16 * 1024;

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

fn encoded(bytes: usize) -> Bytes {
    Bytes::from(message(bytes).encode())
}

fn signing(bytes: usize) -> (Signer, Bytes) {
    (Signer::parse([SECRET]).unwrap(), encoded(bytes))
}

fn guard() -> (Guard, [IpAddr; 2]) {
    let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
    (
        guard,
        ["8.8.8.8", "2606:4700::1111"].map(|it| it.parse().unwrap()),
    )
}

fn failed() -> (Schedule, Outcome) {
    let schedule = Schedule::new([5, 30, 120, 600].map(Duration::from_secs).to_vec()).unwrap();
    let failed = Outcome::Answered {
        status: 503,
        retry_after: None,
    };
    (schedule, failed)
}

#[library_benchmark]
#[bench::small(args = (SMALL), setup = body)]
#[bench::large(args = (LARGE), setup = body)]
fn parse_a_request(body: Bytes) -> Request {
    Request::parse(black_box(&body), &Rules::default()).unwrap()
}

#[library_benchmark]
#[bench::small(args = (SMALL), setup = message)]
#[bench::large(args = (LARGE), setup = message)]
fn encode_a_message(message: Message) -> Vec<u8> {
    black_box(&message).encode()
}

#[library_benchmark]
#[bench::small(args = (SMALL), setup = encoded)]
#[bench::large(args = (LARGE), setup = encoded)]
fn decode_a_message(encoded: Bytes) -> Message {
    Message::decode(black_box(&encoded)).unwrap()
}

#[library_benchmark]
#[bench::small(args = (SMALL), setup = signing)]
#[bench::large(args = (LARGE), setup = signing)]
fn sign_a_call((signer, body): (Signer, Bytes)) -> String {
    signer.sign("01996d2c-4f00", 1_764_000_000, black_box(&body))
}

#[library_benchmark]
fn parse_a_url() -> TargetUrl {
    TargetUrl::parse(black_box(URL)).unwrap()
}

#[library_benchmark]
#[bench::two(args = (), setup = guard)]
fn guard_addresses((guard, addresses): (Guard, [IpAddr; 2])) -> [bool; 2] {
    addresses.map(|it| guard.admit("hooks.shop.example", black_box(it)).is_ok())
}

#[library_benchmark]
#[bench::failed(args = (), setup = failed)]
fn decide_what_follows((schedule, failed): (Schedule, Outcome)) -> Verdict {
    let input = DecisionInput {
        attempt: 2,
        schedule: &schedule,
        max_attempts: None,
        expires_at_ms: None,
        now_ms: 1_764_000_000_000,
        chance: 0.5,
        deferrals: 0,
    };
    decide(black_box(&failed), &input)
}

library_benchmark_group!(
    name = pure,
    benchmarks = [
        parse_a_request,
        encode_a_message,
        decode_a_message,
        sign_a_call,
        parse_a_url,
        guard_addresses,
        decide_what_follows
    ]
);

main!(library_benchmark_groups = pure);
