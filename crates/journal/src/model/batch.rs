//! Batches of records on the wire.
//!
//! Versions: 2 is written, 1 and 2 are read (`golden/` holds a file of each). Version 2 renamed the
//! state `parked` to `deferred`. Within a version, fields may be added, and so may kinds of records
//! and states: a reader ignores the fields it does not know and skips the records. `span`, after 0.2.0,
//! says which part of its recorder's stream a batch holds; a batch without it is of an older process.
//! Also after 0.2.0: `hold`, `cause` and `answer`, left out where there is nothing to say, and
//! `dead_letter` with callbacks that wait. An older writer stores such a record without them.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::record::Record;
use super::stream::BatchSpan;

/// The version that is written.
const VERSION: u8 = 2;
/// The only kind of record so far; it is not written.
const KIND: &str = "callback";
/// The states that this version knows, including `parked` of version 1.
const STATES: [&str; 8] = [
    "queued",
    "deferred",
    "parked",
    "retrying",
    "delivered",
    "dead",
    "expired",
    "cancelled",
];

/// The bytes are not a batch of records. The text quotes none of them.
#[derive(Debug, thiserror::Error)]
#[error("not a batch of records: {0}")]
pub struct UnreadableBatch(String);

impl From<serde_json::Error> for UnreadableBatch {
    fn from(error: serde_json::Error) -> Self {
        Self(contract::error_without_values(&error))
    }
}

/// What a batch holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodedBatch {
    /// The records that this version knows.
    pub records: Vec<Record>,
    /// The part of its recorder's stream; `None`: an older version wrote it.
    pub span: Option<BatchSpan>,
    /// How many were skipped because a newer version wrote them: their kind or state is unknown.
    pub skipped: usize,
}

/// Encodes a batch for the journal's queue.
pub fn encode_batch(records: &[Record], span: Option<&BatchSpan>) -> Bytes {
    /// The version comes first, as in a queue message.
    #[derive(Serialize)]
    struct Batch<'a> {
        v: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        span: Option<&'a BatchSpan>,
        records: &'a [Record],
    }
    let batch = Batch {
        v: VERSION,
        span,
        records,
    };
    // Strings, numbers and options: nothing in a record can fail to serialise.
    serde_json::to_vec(&batch).unwrap_or_default().into()
}

/// Decodes a batch.
///
/// # Errors
/// [`UnreadableBatch`] when the bytes are malformed, or of an unknown version.
pub fn decode_batch(bytes: &[u8]) -> Result<DecodedBatch, UnreadableBatch> {
    /// Records are read in one pass, or kept as text to look at their kind and state first.
    #[derive(Deserialize)]
    struct Batch<R> {
        v: u8,
        #[serde(default)]
        span: Option<BatchSpan>,
        records: Vec<R>,
    }
    // Nearly every batch holds only what this version knows, and names no kind.
    if !contains(bytes, b"\"kind\"")
        && let Ok(Batch::<Record> { v, span, records }) = serde_json::from_slice(bytes)
        && (1..=VERSION).contains(&v)
    {
        return Ok(DecodedBatch {
            records,
            span,
            skipped: 0,
        });
    }
    let Batch::<&RawValue> { v, span, records } = serde_json::from_slice(bytes)?;
    if !(1..=VERSION).contains(&v) {
        return Err(UnreadableBatch(format!("unknown version {v}")));
    }
    let mut batch = DecodedBatch {
        span,
        ..DecodedBatch::default()
    };
    for record in records {
        match decode_record(record)? {
            Some(record) => batch.records.push(record),
            None => batch.skipped += 1,
        }
    }
    Ok(batch)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// `None` for a record of an unknown kind or state.
fn decode_record(json: &RawValue) -> Result<Option<Record>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, default)]
        kind: Option<Cow<'a, str>>,
    }
    let Kind { kind } = serde_json::from_str(json.get())?;
    if kind.is_some_and(|kind| kind != KIND) {
        return Ok(None);
    }
    match serde_json::from_str(json.get()) {
        Ok(record) => Ok(Some(record)),
        Err(_) if has_unknown_state(json) => Ok(None),
        Err(error) => Err(error),
    }
}

fn has_unknown_state(json: &RawValue) -> bool {
    /// A state is a word, or an object whose one key is the word.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum State {
        Word(String),
        Object(BTreeMap<String, IgnoredAny>),
    }
    #[derive(Deserialize)]
    struct Outline {
        state: State,
    }
    let unknown = |word: &str| !STATES.contains(&word);
    match serde_json::from_str(json.get()) {
        Ok(Outline { state }) => match state {
            State::Word(word) => unknown(&word),
            State::Object(fields) => fields.len() == 1 && fields.keys().all(|key| unknown(key)),
        },
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::record::{AttemptRecord, Origin, RecordedState, TargetAnswer};
    use crate::model::stream::RecorderInfo;

    const V1: &[u8] = include_bytes!("../../golden/records-v1.json");
    const V2: &[u8] = include_bytes!("../../golden/records-v2.json");
    const V2_SPAN: &[u8] = include_bytes!("../../golden/records-v2-span.json");
    const V2_WAITING: &[u8] = include_bytes!("../../golden/records-v2-waiting.json");
    const V2_UNKNOWN: &[u8] = include_bytes!("../../golden/records-v2-unknown.json");

    const AT: u64 = 1_727_000_000_000;

    fn origin(number: u128, full: bool) -> Origin {
        let text = |text: &str| full.then(|| text.to_owned());
        Origin {
            request_id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 + number),
            app_id: "crm".to_owned(),
            caller_no: text("C001"),
            callee_no: text("EO001"),
            message_type: "order.paid".to_owned(),
            callback_url: text("https://callee.example/paid?token=***"),
            target: text("https://callee.example:443").unwrap_or_default(),
            accepted_at: AT,
        }
    }

    fn attempt(generation: u32, number: u32, run: u64, delivered: bool) -> AttemptRecord {
        AttemptRecord {
            generation,
            number,
            run,
            started_at: AT + 1_000,
            duration_ms: 12,
            outcome: if delivered {
                "delivered"
            } else {
                "server_error"
            }
            .to_owned(),
            http_status: Some(if delivered { 200 } else { 503 }),
            detail: (!delivered).then(|| "乐居 \"quoted\"".to_owned()),
            cause: None,
            answer: None,
        }
    }

    fn record(origin: Origin, attempt: u32, at: u64, state: RecordedState) -> Record {
        Record {
            origin,
            generation: 0,
            attempt,
            at: AT + at,
            state,
            attempted: None,
            hold: 0,
            message: None,
        }
    }

    /// Every state, and every field set and unset.
    fn golden() -> Vec<Record> {
        let queued = |not_before| RecordedState::Queued { not_before };
        let deferred = RecordedState::Deferred {
            next_attempt_at: AT + 30_000,
            reason: "target_busy".to_owned(),
        };
        let retrying = RecordedState::Retrying {
            next_attempt_at: AT + 6_000,
        };
        let dead = RecordedState::Dead {
            reason: "exhausted".to_owned(),
        };
        let full = || origin(1, true);
        let letter = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        vec![
            record(full(), 1, 0, queued(None)),
            record(full(), 1, 0, queued(Some(AT + 60_000))),
            record(full(), 1, 500, deferred),
            Record {
                attempted: Some(attempt(0, 1, u64::MAX, false)),
                ..record(full(), 1, 1_012, retrying)
            },
            Record {
                attempted: Some(attempt(0, 2, 2, true)),
                ..record(full(), 2, 7_000, RecordedState::Delivered)
            },
            Record {
                generation: 1,
                attempted: Some(attempt(1, 9, 3, false)),
                message: letter(r#"{"v":1,"request_message":{"no":1.0}}"#),
                ..record(origin(2, false), 9, 9_000, dead)
            },
            Record {
                message: letter(r#"{"v":1}"#),
                ..record(origin(3, false), 1, 9_000, RecordedState::Expired)
            },
            record(origin(4, false), 1, 9_000, RecordedState::Cancelled),
        ]
    }

    #[test]
    fn golden_batches_of_every_version_are_read() {
        for golden_file in [V1, V2] {
            let batch = decode_batch(golden_file).unwrap();
            assert_eq!(batch.records, golden());
            assert_eq!(batch.skipped, 0);
            assert_eq!(batch.span, None);
        }
    }

    fn span() -> BatchSpan {
        BatchSpan {
            recorder: RecorderInfo {
                id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0009),
                accepts: true,
                started_at: AT - 5_000,
            },
            first: 7,
            last: 14,
            since: AT,
            until: AT + 10_000,
            closes: true,
        }
    }

    #[test]
    fn a_batch_says_which_part_of_its_recorders_stream_it_holds() {
        let written = encode_batch(&golden(), Some(&span()));
        assert_eq!(
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(V2_SPAN)
        );
        let batch = decode_batch(V2_SPAN).unwrap();
        assert_eq!((batch.span, batch.records), (Some(span()), golden()));
        // A batch without records, and one with a record of an unknown kind.
        let text = r#"{"v":2,"span":SPAN,"records":[{"kind":"new"}]}"#;
        let open = BatchSpan {
            closes: false,
            ..span()
        };
        let json = serde_json::to_string(&open).unwrap();
        assert!(!json.contains("closes"), "{json}");
        let batch = decode_batch(text.replace("SPAN", &json).as_bytes()).unwrap();
        assert_eq!((batch.span, batch.skipped), (Some(open), 1));
        let batch = decode_batch(&encode_batch(&[], Some(&open))).unwrap();
        assert_eq!((batch.span, batch.records), (Some(open), Vec::new()));
    }

    /// A callback that waits, with its message, and with the cause and the answer of its attempt.
    fn waiting() -> Vec<Record> {
        let retrying = RecordedState::Retrying {
            next_attempt_at: AT + 6_000,
        };
        let mut attempted = attempt(0, 1, 7, false);
        attempted.cause = Some("Connection refused (os error 111)".to_owned());
        attempted.answer = Some(TargetAnswer {
            content_type: Some("text/plain".to_owned()),
            text: "整理中 ***".to_owned(),
        });
        vec![Record {
            hold: 2,
            attempted: Some(attempted),
            message: Some(Bytes::from_static(br#"{"v":2}"#)),
            ..record(origin(5, true), 1, 1_012, retrying)
        }]
    }

    #[test]
    fn a_record_of_a_callback_that_waits_has_its_message_its_cause_and_its_answer() {
        let written = encode_batch(&waiting(), None);
        assert_eq!(
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(V2_WAITING)
        );
        assert_eq!(decode_batch(V2_WAITING).unwrap().records, waiting());
    }

    #[test]
    fn the_newest_version_is_written_to_the_byte() {
        assert_eq!(
            String::from_utf8_lossy(&encode_batch(&golden(), None)),
            String::from_utf8_lossy(V2)
        );
    }

    #[test]
    fn every_version_has_a_golden_file_and_every_golden_file_a_reader() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
        let files = std::fs::read_dir(directory).unwrap();
        let mut files: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let expected = [
            "records-v1.json",
            "records-v2-span.json",
            "records-v2-unknown.json",
            "records-v2-waiting.json",
            "records-v2.json",
        ];
        assert_eq!(files, expected);
        assert_eq!(VERSION, 2);
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_kinds_and_states_skipped() {
        let batch = decode_batch(V2_UNKNOWN).unwrap();
        assert_eq!(batch.records, [golden().remove(0), golden().remove(7)]);
        assert_eq!(batch.skipped, 3);
    }

    #[test]
    fn an_unknown_version_or_a_malformed_record_makes_the_batch_unreadable() {
        let reason = |bytes: &[u8]| decode_batch(bytes).unwrap_err().to_string();
        let of = |text: &str| reason(text.as_bytes());
        assert!(of(r#"{"v":3,"records":[]}"#).contains("unknown version 3"));
        assert!(of(r#"{"v":0,"records":[]}"#).contains("unknown version 0"));
        assert!(of(r#"{"v":2,"records":[{}]}"#).contains("missing field"));
        assert!(of(r#"{"v":2}"#).contains("missing field"));
        let text = String::from_utf8(V2.to_vec()).unwrap();
        // A known state without its field, and a known record without its origin.
        for (from, to) in [
            (r#"{"reason":"exhausted"}"#, "{}"),
            (r#""app_id":"crm","#, ""),
        ] {
            of(&text.replacen(from, to, 1));
        }
    }

    #[test]
    fn every_state_that_is_written_is_known_to_the_reader() {
        for record in golden() {
            let json = serde_json::to_string(&record).unwrap();
            assert!(!has_unknown_state(&RawValue::from_string(json).unwrap()));
        }
    }

    #[test]
    fn the_text_of_an_error_quotes_nothing_of_the_batch() {
        let secret = br#"{"v":2,"records":[{"origin":"S3CR3T"}]}"#;
        let text = decode_batch(secret).unwrap_err().to_string();
        assert!(text.contains("at line 1"), "{text}");
        assert!(!text.contains("S3CR3T"), "{text}");
        let newer = decode_batch(br#"{"v":9,"records":[]}"#).unwrap_err();
        assert_eq!(
            newer.to_string(),
            "not a batch of records: unknown version 9"
        );
    }
}
