//! Which spooled batches are put together: those that follow each other in the stream of one recorder.
//! Pure.

use super::spool::{Frame, FrameId};
use crate::model::{BatchSpan, DecodedBatch, Record};

/// The maximum number of records that are put together.
const MAX_RECORDS: usize = 1_000;
/// The maximum bytes that are put together, as for one batch: brokers limit a message.
const MAX_BYTES: usize = 1024 * 1024;

/// A batch in the spool.
#[derive(Debug)]
pub(super) struct SpooledBatch {
    pub(super) id: FrameId,
    pub(super) frame: Frame,
    pub(super) batch: DecodedBatch,
}

/// Batches that are put together.
#[derive(Debug)]
pub(super) struct MergedBatch {
    pub(super) records: Vec<Record>,
    /// `None`: the numbers of the records are not known, or not all of them are put.
    pub(super) span: Option<BatchSpan>,
    /// The frames that are durable once it is put.
    pub(super) frames: Vec<FrameId>,
    /// The frame, if it holds records as well that this version cannot decode.
    pub(super) partly_decoded: Option<(FrameId, Frame)>,
    bytes: usize,
}

/// Merges batches that follow each other, within the bounds of one put.
pub(super) fn coalesce(mut batches: Vec<SpooledBatch>) -> Vec<MergedBatch> {
    // Stable: batches without a span stay in their order.
    batches.sort_by_key(|spooled| {
        spooled
            .batch
            .span
            .map(|span| (span.recorder.id, span.first))
    });
    let mut merged: Vec<MergedBatch> = Vec::new();
    for spooled in batches {
        let next = MergedBatch::of(spooled);
        if let Some(next) = match merged.last_mut() {
            Some(last) => last.append(next),
            None => Some(next),
        } {
            merged.push(next);
        }
    }
    merged
}

impl MergedBatch {
    fn of(spooled: SpooledBatch) -> Self {
        let SpooledBatch { id, frame, batch } = spooled;
        let DecodedBatch {
            records,
            span,
            skipped,
        } = batch;
        let bytes = frame.body.len();
        // The numbers of a batch of which a part is left out are not stored.
        let (frames, span, partly_decoded) = match skipped {
            0 => (vec![id], span, None),
            _ => (Vec::new(), None, Some((id, frame))),
        };
        Self {
            records,
            span,
            frames,
            partly_decoded,
            bytes,
        }
    }

    /// Appends a batch that follows this one. Returns one that does not, or that makes it too large.
    fn append(&mut self, next: Self) -> Option<Self> {
        let whole = self.partly_decoded.is_none() && next.partly_decoded.is_none();
        let records = self.records.len() + next.records.len();
        let fits = records <= MAX_RECORDS && self.bytes + next.bytes <= MAX_BYTES;
        let span = match (self.span, next.span) {
            (None, None) => Some(None),
            (Some(own), Some(next)) => own.followed_by(&next).map(Some),
            (Some(_), None) | (None, Some(_)) => None,
        };
        let Some(span) = span.filter(|_| whole && fits) else {
            return Some(next);
        };
        self.span = span;
        self.records.extend(next.records);
        self.frames.extend(next.frames);
        self.bytes += next.bytes;
        None
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::fixture::record;
    use super::*;
    use crate::model::{RecorderInfo, RecorderState, encode_batch};

    fn recorder(id: u128) -> RecorderInfo {
        RecorderInfo {
            id: Uuid::from_u128(id),
            accepts: true,
            started_at: 1,
        }
    }

    fn spooled(own: RecorderInfo, numbers: std::ops::RangeInclusive<u64>) -> SpooledBatch {
        let (first, last) = (*numbers.start(), *numbers.end());
        let span = BatchSpan {
            recorder: own,
            first,
            last,
            since: first * 10,
            until: last * 10 + 10,
            closes: false,
        };
        let records: Vec<Record> = numbers.map(|_| record()).collect();
        SpooledBatch {
            id: FrameId::of(1, first),
            frame: Frame {
                body: encode_batch(&records, Some(&span)),
                records: u32::try_from(records.len()).unwrap(),
                recorded_at: 1,
            },
            batch: DecodedBatch {
                records,
                span: Some(span),
                skipped: 0,
            },
        }
    }

    /// The numbers that are put together.
    fn numbers(merged: &[MergedBatch]) -> Vec<(u64, u64)> {
        let spans = merged.iter().map(|batch| batch.span.unwrap());
        spans.map(|span| (span.first, span.last)).collect()
    }

    #[test]
    fn batches_that_follow_each_other_are_put_together() {
        let (one, two) = (recorder(1), recorder(2));
        let batches = vec![
            spooled(one, 6..=9),
            spooled(two, 6..=9),
            spooled(one, 1..=3),
            spooled(one, 4..=5),
            spooled(one, 11..=11),
        ];
        let expected: Vec<BatchSpan> = batches.iter().map(|it| it.batch.span.unwrap()).collect();
        let merged = coalesce(batches);
        assert_eq!(numbers(&merged), [(1, 9), (11, 11), (6, 9)]);
        assert_eq!(merged[0].records.len(), 9);
        assert_eq!(merged[0].frames.len(), 3);
        for own in [one, two] {
            let of = |spans: Vec<BatchSpan>| {
                let mut state = RecorderState::new(own);
                let own = spans.iter().filter(|span| span.recorder == own);
                own.for_each(|span| state.add(span));
                state
            };
            let merged = merged.iter().filter_map(|batch| batch.span).collect();
            assert_eq!(of(merged), of(expected.clone()));
        }
    }

    #[test]
    fn what_is_put_together_is_bounded() {
        let own = recorder(1);
        let batches = (0..10_u64).map(|it| spooled(own, it * 256 + 1..=it * 256 + 256));
        let merged = coalesce(batches.collect());
        assert_eq!(merged.len(), 4);
        assert!(
            merged
                .iter()
                .all(|batch| batch.records.len() <= MAX_RECORDS)
        );
        let mut large = vec![spooled(own, 1..=1), spooled(own, 2..=2)];
        for batch in &mut large {
            batch.frame.body = vec![b'x'; MAX_BYTES / 2 + 1].into();
        }
        assert_eq!(coalesce(large).len(), 2);
    }

    #[test]
    fn a_batch_of_which_a_part_is_unknown_claims_no_numbers_and_is_kept() {
        let own = recorder(1);
        let mut partly = spooled(own, 3..=4);
        partly.batch.skipped = 1;
        let merged = coalesce(vec![spooled(own, 1..=2), partly, spooled(own, 5..=5)]);
        assert_eq!(merged.len(), 3);
        assert_eq!(merged[1].span, None);
        assert_eq!((merged[1].records.len(), merged[1].frames.len()), (2, 0));
        assert!(merged[1].partly_decoded.is_some());
    }

    #[test]
    fn batches_of_older_versions_are_put_together_as_well() {
        let own = recorder(1);
        let mut batches = vec![
            spooled(own, 1..=1),
            spooled(own, 2..=2),
            spooled(own, 3..=3),
        ];
        for batch in &mut batches[..2] {
            batch.batch.span = None;
        }
        let merged = coalesce(batches);
        let sizes: Vec<usize> = merged.iter().map(|batch| batch.records.len()).collect();
        assert_eq!(sizes, [2, 1]);
    }
}
