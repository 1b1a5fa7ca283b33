//! The trace of a callback (W3C Trace Context), and the ids of its spans.
//!
//! A callback belongs to its caller's trace, or to one whose id is the callback's own. The ids of its
//! spans follow from the callback's, so that each process knows those of the others without a word in
//! the message.

use uuid::Uuid;

/// The longest `tracestate` that is passed on, in bytes: what W3C Trace Context, 3.3.1.5, asks for.
const MAX_TRACESTATE: usize = 512;

/// The trace of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The id of the trace, never 0.
    pub trace_id: u128,
    /// The caller's span, if the caller has a trace.
    pub parent: Option<u64>,
    /// Whether the caller records its trace. `None`: the caller has none.
    pub sampled: Option<bool>,
}

impl TraceContext {
    /// Reads a `traceparent` of version 00, the only one there is. `None`: it is malformed or of another
    /// version, and is not used.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let parts: Vec<&str> = traceparent.split('-').collect();
        let ["00", trace, span, flags] = parts.as_slice() else {
            return None;
        };
        let (trace, span) = (hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?);
        let flags = hex(flags, 2)?;
        (trace != 0 && span != 0).then_some(Self {
            trace_id: trace,
            parent: Some(span),
            sampled: Some(flags & 1 == 1),
        })
    }

    /// The trace of this callback: its caller's, or one of its own (a UUID v7 is never 0).
    #[must_use]
    pub fn of(request_id: Uuid, traceparent: Option<&str>) -> Self {
        traceparent.and_then(Self::parse).unwrap_or(Self {
            trace_id: request_id.as_u128(),
            parent: None,
            sampled: None,
        })
    }
}

/// A number in lower-case hexadecimal digits, of exactly this length.
fn hex(text: &str, length: usize) -> Option<u128> {
    let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let valid = text.len() == length && text.bytes().all(digits);
    valid.then(|| u128::from_str_radix(text, 16).ok())?
}

/// The `tracestate` that belongs to a valid `traceparent`, if it is one line of visible ASCII and not too
/// long (W3C Trace Context, 3.3).
#[must_use]
pub fn tracestate(value: &str) -> Option<&str> {
    let value = value.trim_matches([' ', '\t']);
    let valid = value
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    (valid && !value.is_empty() && value.len() <= MAX_TRACESTATE).then_some(value)
}

/// A span of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackSpan {
    /// Ingress takes the callback.
    Accept,
    /// The message waits for the attempt of this number in this generation.
    Queue(u32, u32),
    /// The attempt of this number in this generation.
    Attempt(u32, u32),
    /// Its record becomes durable.
    Record(u32, u32),
}

impl CallbackSpan {
    /// The id of this span, never 0.
    #[must_use]
    pub fn id(self, request_id: Uuid) -> u64 {
        let (kind, generation, attempt) = match self {
            Self::Accept => (1, 0, 0),
            Self::Queue(generation, attempt) => (2, generation, attempt),
            Self::Attempt(generation, attempt) => (3, generation, attempt),
            Self::Record(generation, attempt) => (4, generation, attempt),
        };
        let (high, low) = request_id.as_u64_pair();
        let place = (u64::from(generation) << 32) | u64::from(attempt);
        let mut id = kind;
        for part in [high, low, place] {
            id = mixed(id ^ part);
        }
        id.max(1)
    }
}

/// Spreads each bit over all (the finalizer of `SplitMix64`).
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_valid_traceparent_is_read() {
        let context = TraceContext::parse(VALID).unwrap();
        assert_eq!(context.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.parent, Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!(context.sampled, Some(true));
        let not_sampled = VALID.replace("-01", "-00");
        let not_sampled = TraceContext::parse(&not_sampled).unwrap();
        assert_eq!(not_sampled.sampled, Some(false));
        for invalid in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-1",
        ] {
            assert_eq!(TraceContext::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn without_a_callers_trace_the_callbacks_id_is_the_traces() {
        let id = Uuid::from_u128(7);
        for traceparent in [None, Some("nonsense")] {
            let context = TraceContext::of(id, traceparent);
            assert_eq!((context.trace_id, context.parent), (7, None));
            assert_eq!(context.sampled, None);
        }
    }

    #[test]
    fn a_tracestate_is_one_line_of_visible_ascii() {
        assert_eq!(
            tracestate(" rojo=00f0,congo=t61 "),
            Some("rojo=00f0,congo=t61")
        );
        assert_eq!(tracestate(&"x".repeat(512)).map(str::len), Some(512));
        for invalid in ["", "  ", "a=\u{e9}", "a=1\nb=2", &"x".repeat(513)] {
            assert_eq!(tracestate(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn spans_of_callbacks_have_ids_of_their_own() {
        let mut ids = HashSet::new();
        for request_id in [Uuid::from_u128(1), Uuid::from_u128(1 << 64), Uuid::now_v7()] {
            assert!(ids.insert(CallbackSpan::Accept.id(request_id)));
            for (generation, attempt) in [(0, 1), (0, 2), (1, 1), (1, 0), (2, 1)] {
                for span in [
                    CallbackSpan::Queue(generation, attempt),
                    CallbackSpan::Attempt(generation, attempt),
                    CallbackSpan::Record(generation, attempt),
                ] {
                    assert!(ids.insert(span.id(request_id)), "{span:?}");
                }
            }
        }
        assert!(!ids.contains(&0));
    }

    #[test]
    fn every_process_of_every_version_computes_the_same_ids() {
        let id = Uuid::from_u128(0x0199_6d2c_4f00_7a3b_8c1d_2e3f_4a5b_6c7e);
        let spans = [
            CallbackSpan::Accept,
            CallbackSpan::Queue(0, 1),
            CallbackSpan::Attempt(0, 1),
            CallbackSpan::Attempt(1, 2),
            CallbackSpan::Record(0, 1),
        ];
        let ids = spans.map(|span| format!("{:016x}", span.id(id)));
        assert_eq!(
            ids,
            [
                "3b520825afacb884",
                "54ecb17534e60322",
                "48d3b09b3b5a5074",
                "0af110b50fdabd20",
                "4a784fa098e71219",
            ]
        );
    }
}
