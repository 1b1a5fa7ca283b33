//! Frames: how batches of records lie in a file.
//!
//! A file begins with [`FILE_HEADER`]. Each frame has a header of [`HEADER_BYTES`] (the length of the
//! body, a checksum, when its oldest record was recorded, the number of its records; little-endian)
//! and a body. The checksum covers all but itself, so that a frame whose write was cut short is
//! recognized. Pure.

use bytes::Bytes;
use crc::{CRC_32_ISO_HDLC, Crc};

/// The format, and its version.
pub(super) const FILE_HEADER: &[u8; 8] = b"RBSPOOL1";
/// The bytes of a frame before its body.
pub(super) const HEADER_BYTES: usize = 20;
/// A larger length is damage.
const MAX_BODY_BYTES: u32 = 256 * 1024 * 1024;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A batch of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recorder) struct Frame {
    /// The batch, as [`encode_batch`](crate::encode_batch) wrote it.
    pub(in crate::recorder) body: Bytes,
    /// The number of its records.
    pub(in crate::recorder) records: u32,
    /// When the oldest of them was recorded; Unix ms.
    pub(in crate::recorder) recorded_at: u64,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The length of the body.
    pub(super) body_bytes: u32,
    checksum: u32,
    pub(super) recorded_at: u64,
    pub(super) records: u32,
}

impl FrameHeader {
    /// `None`: it is damaged for certain.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let [l0, l1, l2, l3, c0, c1, c2, c3, at @ .., r0, r1, r2, r3] = *bytes;
        let header = Self {
            body_bytes: u32::from_le_bytes([l0, l1, l2, l3]),
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
            recorded_at: u64::from_le_bytes(at),
            records: u32::from_le_bytes([r0, r1, r2, r3]),
        };
        (header.body_bytes <= MAX_BODY_BYTES).then_some(header)
    }

    /// The bytes of the whole frame.
    pub(super) const fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.body_bytes as u64
    }

    /// The frame, if its checksum is right.
    pub(super) fn with_body(self, body: Vec<u8>) -> Option<Frame> {
        let Self {
            body_bytes,
            checksum,
            recorded_at,
            records,
        } = self;
        let right = checksum == checksum_of(body_bytes, recorded_at, records, &body);
        right.then(|| Frame {
            body: body.into(),
            records,
            recorded_at,
        })
    }
}

impl Frame {
    /// Its bytes in a file. `None` for a body that is too large.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let (records, at) = (self.records, self.recorded_at);
        let length = u32::try_from(self.body.len()).ok();
        let length = length.filter(|length| *length <= MAX_BODY_BYTES)?;
        let checksum = checksum_of(length, at, records, &self.body);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.body.len());
        bytes.extend(length.to_le_bytes());
        bytes.extend(checksum.to_le_bytes());
        bytes.extend(at.to_le_bytes());
        bytes.extend(records.to_le_bytes());
        bytes.extend_from_slice(&self.body);
        Some(bytes)
    }
}

fn checksum_of(length: u32, recorded_at: u64, records: u32, body: &[u8]) -> u32 {
    let mut crc = CRC.digest();
    crc.update(&length.to_le_bytes());
    crc.update(&recorded_at.to_le_bytes());
    crc.update(&records.to_le_bytes());
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            body: Bytes::from_static(b"{\"v\":2}"),
            records: 3,
            recorded_at: 1_727_000_000_000,
        }
    }

    fn decode(bytes: &[u8]) -> Option<Frame> {
        let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        FrameHeader::decode(header)?.with_body(body.to_vec())
    }

    #[test]
    fn a_frame_is_read_back_and_any_changed_bit_is_noticed() {
        let bytes = frame().encode().unwrap();
        assert_eq!(bytes.len(), HEADER_BYTES + 7);
        assert_eq!(decode(&bytes), Some(frame()));
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1 << bit;
                assert_eq!(decode(&damaged), None, "byte {position}, bit {bit}");
            }
        }
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_length_beyond_all_batches_is_damage() {
        assert_eq!(FrameHeader::decode(&[u8::MAX; HEADER_BYTES]), None);
    }
}
