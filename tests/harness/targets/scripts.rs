//! Ready-made scripts of targets that break HTTP.

use std::time::Duration;

use super::raw::Step;

/// Resets the connection without an answer.
pub fn reset_before_head() -> Vec<Step> {
    Step::answer_and_reset("")
}

/// Sends a head that promises a body, then resets the connection.
pub fn reset_after_head() -> Vec<Step> {
    Step::answer_and_reset("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
}

/// Sends bytes that are not HTTP, then closes.
pub fn garbage() -> Vec<Step> {
    Step::answer(b"\x00\xff\x16\x03 what do you want?\r\n\r\n")
}

/// Sends a valid answer at one byte per 300 ms.
pub fn slow_answer() -> Vec<Step> {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
    let drip = Step::Drip(answer, 1, Duration::from_millis(300));
    vec![Step::WaitForHead, drip]
}

/// Answers 200 with a body that never ends.
pub fn infinite_body() -> Vec<Step> {
    Step::flood("HTTP/1.1 200 OK\r\n\r\n", "x")
}

/// Promises 1,000 bytes, sends 10 and closes in an orderly way.
pub fn truncated_body() -> Vec<Step> {
    Step::answer("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789")
}

/// Answers 200 with 8 MiB of headers.
pub fn huge_headers() -> Vec<Step> {
    let line = format!("x-huge: {}\r\n", "x".repeat(8 * 1024));
    let lines = line.repeat(1024);
    let answer = format!("HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n");
    vec![Step::WaitForHead, Step::Write(answer.into_bytes())]
}
