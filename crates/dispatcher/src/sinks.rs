//! Where do records go from a process's memory: into the journal, or into the queue on the way to it?

use boot::Metrics;
use broker::{Broker, Message};
use bytes::Bytes;
use journal::{Journal, Record, Sink, encode_batch};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The format of the body, as the broker's console shows it.
const KIND: &str = "records.v1";
/// RabbitMQ 4.x takes messages of 16 MiB.
const MOST_BYTES: usize = 15 * 1024 * 1024;

/// Into the journal at once.
#[derive(Clone)]
pub struct Straight {
    /// Takes the records.
    pub journal: Journal,
    /// Counts them.
    pub metrics: Arc<Metrics>,
}

/// Into the queue that a [`crate::Writer`] reads.
#[derive(Clone, Debug)]
pub struct ByQueue(
    /// Where the queue is.
    pub Broker,
);

type Put<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

impl Sink for Straight {
    fn put<'a>(&'a self, records: &'a [Record]) -> Put<'a> {
        Box::pin(async move {
            let stored = self.journal.record_each(records).await;
            let left_out = stored.map_err(|error| error.to_string())?;
            self.metrics.journal_refused(left_out);
            self.metrics.journal_records(records.len() - left_out);
            Ok(())
        })
    }
}

impl Sink for ByQueue {
    fn put<'a>(&'a self, records: &'a [Record]) -> Put<'a> {
        Box::pin(async move {
            for (count, body) in bodies(records, MOST_BYTES) {
                let message = Message {
                    id: String::new(),
                    kind: KIND,
                    headers: vec![("ringback-records", count.to_string())],
                    body,
                };
                let published = self.0.publish_record(message).await;
                published.map_err(|error| error.to_string())?;
            }
            Ok(())
        })
    }
}

/// The batch as bodies of at most so many bytes, each with its number of records: nearly always one.
fn bodies(records: &[Record], most: usize) -> Vec<(usize, Bytes)> {
    let body = encode_batch(records);
    if body.len() <= most {
        return vec![(records.len(), body)];
    }
    if let [record] = records {
        let request_id = record.origin.request_id;
        tracing::error!(%request_id, "a dead letter is too large for the journal's queue; it cannot be replayed");
        let mut record = record.clone();
        record.dead_letter = None;
        return vec![(1, encode_batch(&[record]))];
    }
    let (front, back) = records.split_at(records.len() / 2);
    let mut parts = bodies(front, most);
    parts.extend(bodies(back, most));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{Origin, State, decode_batch};
    use uuid::Uuid;

    fn dead(bytes: usize) -> Record {
        Record {
            origin: Origin {
                request_id: Uuid::now_v7(),
                app_id: "app".to_owned(),
                caller_no: None,
                callee_no: None,
                message_type: "type".to_owned(),
                callback_url: None,
                target: String::new(),
                accepted_at: 1,
            },
            generation: 0,
            attempt: 1,
            at: 2,
            state: State::Expired,
            attempted: None,
            dead_letter: Some(vec![b'a'; bytes].into()),
        }
    }

    const MOST: usize = 2_000;

    fn read_back(records: &[Record]) -> Vec<Vec<Record>> {
        let bodies = bodies(records, MOST);
        let read = bodies.iter().map(|(count, body)| {
            assert!(body.len() <= MOST);
            let records = decode_batch(body).unwrap();
            assert_eq!(records.len(), *count);
            records
        });
        read.collect()
    }

    #[test]
    fn a_batch_is_one_message_unless_the_broker_would_not_take_it() {
        let small = [dead(10), dead(20)];
        assert_eq!(read_back(&small), [small.to_vec()]);
        let large = [dead(10), dead(MOST / 2), dead(MOST / 2)];
        assert_eq!(read_back(&large).concat(), large);
        assert_eq!(read_back(&large).len(), 3);
    }

    #[test]
    fn a_dead_letter_that_no_broker_would_take_is_left_out_of_its_record() {
        let huge = dead(MOST);
        let read = read_back(std::slice::from_ref(&huge)).concat();
        assert_eq!(read[0].origin, huge.origin);
        assert_eq!(read[0].dead_letter, None);
    }
}
