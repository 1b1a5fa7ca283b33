//! The sinks of the recorder: the journal, or the journal's queue.

use async_trait::async_trait;
use broker::{Broker, BrokerMessage};
use bytes::Bytes;
use journal::{BatchPart, BatchSpan, Journal, Record, RecordSink, encode_batch};

use super::metrics::RecordingMetrics;
use super::write_health::WriteHealth;

/// The format of the body, as the broker's console shows it.
const KIND: &str = "records.v2";
/// RabbitMQ 4.x takes messages of 16 MiB.
const MAX_MESSAGE_BYTES: usize = 15 * 1024 * 1024;

/// Stores records in the journal.
#[derive(Clone)]
pub(super) struct DirectSink {
    pub(super) journal: Journal,
    pub(super) metrics: RecordingMetrics,
    pub(super) health: WriteHealth,
}

impl DirectSink {
    /// Stores the records of these batches.
    ///
    /// # Errors
    /// A sentence, when nothing is stored. Try again later.
    pub(super) async fn store(
        &self,
        records: &[Record],
        batches: &[BatchPart],
    ) -> Result<(), String> {
        let stored = self.journal.record_each(records, batches).await;
        match stored {
            Ok(left_out) => {
                self.health.succeeded();
                self.metrics.stored(records.len() - left_out, left_out);
                Ok(())
            }
            Err(error) => {
                self.metrics.write_failed();
                self.health.failed(error.reason());
                Err(error.to_string())
            }
        }
    }
}

/// Publishes records to the journal's queue, which the writer reads.
#[derive(Clone, Debug)]
pub(super) struct QueueSink(pub(super) Broker);

#[async_trait]
impl RecordSink for DirectSink {
    async fn put(&self, records: &[Record], span: Option<&BatchSpan>) -> Result<(), String> {
        let batch = BatchPart {
            records: records.len(),
            span: span.copied(),
        };
        self.store(records, &[batch]).await
    }
}

#[async_trait]
impl RecordSink for QueueSink {
    async fn put(&self, records: &[Record], span: Option<&BatchSpan>) -> Result<(), String> {
        for (count, body) in bodies(records, span.copied(), MAX_MESSAGE_BYTES) {
            let message = BrokerMessage {
                id: String::new(),
                kind: KIND,
                headers: vec![("ringback-records", count.to_string())],
                body,
            };
            let published = self.0.publish_record(message).await;
            published.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// The batch as bodies of at most `max_bytes`, each with its number of records: nearly always one.
fn bodies(records: &[Record], span: Option<BatchSpan>, max_bytes: usize) -> Vec<(usize, Bytes)> {
    let body = encode_batch(records, span.as_ref());
    if body.len() <= max_bytes || records.is_empty() {
        return vec![(records.len(), body)];
    }
    if let [record] = records {
        let request_id = record.origin.request_id;
        tracing::error!(
            %request_id,
            "dead letter is too large for the journal's queue and cannot be replayed"
        );
        let mut record = record.clone();
        record.message = None;
        return vec![(1, encode_batch(&[record], span.as_ref()))];
    }
    let (front, back) = records.split_at(records.len() / 2);
    let (front_span, back_span) = span.map(|span| span.split(front.len())).unzip();
    let mut parts = bodies(front, front_span, max_bytes);
    parts.extend(bodies(back, back_span, max_bytes));
    parts
}

#[cfg(test)]
mod tests {
    use journal::decode_batch;

    use super::super::fixture::record;
    use super::*;

    fn dead(bytes: usize) -> Record {
        Record {
            message: Some(vec![b'a'; bytes].into()),
            ..record()
        }
    }

    const MAX_BYTES: usize = 2_000;

    fn read_back(records: &[Record]) -> Vec<Vec<Record>> {
        let bodies = bodies(records, None, MAX_BYTES);
        let read = bodies.iter().map(|(count, body)| {
            assert!(body.len() <= MAX_BYTES);
            let records = decode_batch(body).unwrap().records;
            assert_eq!(records.len(), *count);
            records
        });
        read.collect()
    }

    #[test]
    fn a_batch_is_one_message_unless_it_is_too_large_for_the_broker() {
        let small = [dead(10), dead(20)];
        assert_eq!(read_back(&small), [small.to_vec()]);
        let large = [dead(10), dead(MAX_BYTES / 2), dead(MAX_BYTES / 2)];
        assert_eq!(read_back(&large).concat(), large);
        assert_eq!(read_back(&large).len(), 3);
    }

    #[test]
    fn a_dead_letter_too_large_for_the_broker_is_left_out_of_its_record() {
        let huge = dead(MAX_BYTES);
        let read = read_back(std::slice::from_ref(&huge)).concat();
        assert_eq!(read[0].origin, huge.origin);
        assert_eq!(read[0].message, None);
    }
}
