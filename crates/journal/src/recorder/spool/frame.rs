//! Frames: how batches of records lie in a file.
//!
//! A file begins with [`FILE_HEADER`]. Each frame has a header of [`HEADER_BYTES`] (a mark, the length
//! of the body, its checksum, when its oldest record was recorded, the number of its records, and a
//! checksum of the header; little-endian) and a body. The mark is in no body, because no UTF-8 text
//! holds its first byte: after damage, the next frame is found by it. Pure.

use bytes::Bytes;
use crc::{CRC_32_ISO_HDLC, Crc};

/// The format, and its version.
pub(super) const FILE_HEADER: &[u8; 8] = b"RBSPOOL2";
/// What a file of any version begins with.
pub(super) const FORMAT: &[u8; 7] = b"RBSPOOL";
/// What a frame begins with.
pub(super) const FRAME_MARK: [u8; 4] = *b"\xFFRB\xFE";
/// The bytes of a frame before its body.
pub(super) const HEADER_BYTES: usize = 28;
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
    body_checksum: u32,
    pub(super) recorded_at: u64,
    pub(super) records: u32,
}

impl FrameHeader {
    /// `None`: these bytes are no header, or a damaged one.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (fields, [c0, c1, c2, c3]) = bytes.split_last_chunk()?;
        let checksum = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
        let fields: &[u8; HEADER_BYTES - 4] = fields.try_into().ok()?;
        let [
            m0,
            m1,
            m2,
            m3,
            l0,
            l1,
            l2,
            l3,
            b0,
            b1,
            b2,
            b3,
            at @ ..,
            r0,
            r1,
            r2,
            r3,
        ] = *fields;
        let header = Self {
            body_bytes: u32::from_le_bytes([l0, l1, l2, l3]),
            body_checksum: u32::from_le_bytes([b0, b1, b2, b3]),
            recorded_at: u64::from_le_bytes(at),
            records: u32::from_le_bytes([r0, r1, r2, r3]),
        };
        let right = [m0, m1, m2, m3] == FRAME_MARK && checksum == CRC.checksum(fields);
        (right && header.body_bytes <= MAX_BODY_BYTES).then_some(header)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.body_bytes as usize);
        bytes.extend(FRAME_MARK);
        bytes.extend(self.body_bytes.to_le_bytes());
        bytes.extend(self.body_checksum.to_le_bytes());
        bytes.extend(self.recorded_at.to_le_bytes());
        bytes.extend(self.records.to_le_bytes());
        bytes.extend(CRC.checksum(&bytes).to_le_bytes());
        bytes
    }

    /// The bytes of the whole frame.
    pub(super) const fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.body_bytes as u64
    }

    /// Whether this is the body of the frame, undamaged.
    pub(super) fn matches(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes as usize && self.body_checksum == CRC.checksum(body)
    }

    /// The frame. `None`: its body is damaged.
    pub(super) fn with_body(self, body: Vec<u8>) -> Option<Frame> {
        self.matches(&body).then(|| Frame {
            body: body.into(),
            records: self.records,
            recorded_at: self.recorded_at,
        })
    }
}

impl Frame {
    /// Its bytes in a file. `None` for a body that is too large.
    pub(super) fn encode(&self) -> Option<(FrameHeader, Vec<u8>)> {
        let length = u32::try_from(self.body.len()).ok();
        let header = FrameHeader {
            body_bytes: length.filter(|length| *length <= MAX_BODY_BYTES)?,
            body_checksum: CRC.checksum(&self.body),
            recorded_at: self.recorded_at,
            records: self.records,
        };
        let mut bytes = header.encode();
        bytes.extend_from_slice(&self.body);
        Some((header, bytes))
    }
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
        let (_, bytes) = frame().encode().unwrap();
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
        let header = FrameHeader {
            body_bytes: MAX_BODY_BYTES + 1,
            body_checksum: 0,
            recorded_at: 0,
            records: 1,
        };
        let bytes = FrameHeader::encode(&FrameHeader {
            body_bytes: 7,
            ..header
        });
        assert!(FrameHeader::decode(bytes.first_chunk().unwrap()).is_some());
        let mut bytes = Vec::new();
        bytes.extend(FRAME_MARK);
        bytes.extend(header.body_bytes.to_le_bytes());
        bytes.extend([0; 16]);
        bytes.extend(CRC.checksum(&bytes).to_le_bytes());
        assert!(FrameHeader::decode(bytes.first_chunk().unwrap()).is_none());
    }
}
