//! Finds the frames in the bytes of a file, also behind damage. Pure.

use std::collections::BTreeMap;

use super::frame::{FILE_HEADER, FORMAT, FRAME_MARK, FrameHeader, HEADER_BYTES};

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ScannedFile {
    /// The frames that can be read, by their offset.
    pub(super) frames: BTreeMap<u64, FrameHeader>,
    /// Where the last of them ends.
    pub(super) end: u64,
    /// Something else than a tail that was not written whole cannot be read.
    pub(super) is_damaged: bool,
    /// The records that were in the damaged part: at least so many.
    pub(super) lost_records: u64,
}

/// The file was made by another version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a file of spooled records has an unknown format")]
pub(super) struct UnknownFormat;

/// What is at a position of a file.
enum Found {
    Frame(FrameHeader),
    /// The header of a frame whose body is damaged, or not whole.
    Header(FrameHeader),
    Nothing,
}

/// Finds the frames of a file. A damaged part ends where the next undamaged frame begins. A write that
/// was cut short by the end of its process leaves the beginning of a frame at the end of the file: it
/// was never confirmed, and nothing is lost with it.
pub(super) fn scan(bytes: &[u8]) -> Result<ScannedFile, UnknownFormat> {
    let mut scanned = ScannedFile::default();
    let Some(header) = bytes.first_chunk::<8>() else {
        return Ok(scanned); // Its process ended before it could write anything.
    };
    if header != FILE_HEADER {
        if header.starts_with(FORMAT) {
            return Err(UnknownFormat);
        }
        scanned.is_damaged = true;
    }
    let mut position = FILE_HEADER.len();
    scanned.end = offset(position);
    while position < bytes.len() {
        if let Found::Frame(header) = at(bytes, position) {
            scanned.frames.insert(offset(position), header);
            position += HEADER_BYTES + header.body_bytes as usize;
            scanned.end = offset(position);
        } else {
            position = pass_damage(bytes, position, &mut scanned);
        }
    }
    Ok(scanned)
}

/// Returns where the next undamaged frame begins after `begin`, or the end of the file.
fn pass_damage(bytes: &[u8], begin: usize, scanned: &mut ScannedFile) -> usize {
    let (mut position, mut lost) = (begin, 0);
    // The records of a frame that may be an unfinished write, if it is the last.
    let mut unfinished = None;
    let next = loop {
        lost += unfinished.take().unwrap_or_default();
        let rest = bytes.get(position..).unwrap_or_default();
        match at(bytes, position) {
            Found::Frame(_) => break Some(position),
            Found::Header(header) => {
                let records = u64::from(header.records);
                if rest.len() < HEADER_BYTES + header.body_bytes as usize {
                    unfinished = Some(records);
                } else {
                    lost += records;
                }
            }
            Found::Nothing => {
                let begins = rest.starts_with(&FRAME_MARK) || FRAME_MARK.starts_with(rest);
                unfinished = (begins && rest.len() < HEADER_BYTES).then_some(0);
            }
        }
        match next_mark(bytes, position + 1) {
            Some(mark) => position = mark,
            None => break None,
        }
    };
    if next.is_none() && unfinished.is_some() && position == begin {
        return bytes.len();
    }
    scanned.is_damaged = true;
    scanned.lost_records += lost.max(1);
    next.unwrap_or(bytes.len())
}

/// Where a frame may begin, from this position on.
fn next_mark(bytes: &[u8], from: usize) -> Option<usize> {
    let mut windows = bytes.get(from..)?.windows(FRAME_MARK.len());
    let distance = windows.position(|window| window == FRAME_MARK)?;
    Some(from + distance)
}

fn at(bytes: &[u8], position: usize) -> Found {
    let rest = bytes.get(position..).unwrap_or_default();
    let header = rest.split_first_chunk::<HEADER_BYTES>();
    let header = header.and_then(|(header, body)| Some((FrameHeader::decode(header)?, body)));
    match header {
        Some((header, body)) => match body.get(..header.body_bytes as usize) {
            Some(body) if header.matches(body) => Found::Frame(header),
            Some(_) | None => Found::Header(header),
        },
        None => Found::Nothing,
    }
}

fn offset(position: usize) -> u64 {
    u64::try_from(position).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::frame::Frame;
    use super::*;

    fn encoded(records: u32) -> Vec<u8> {
        let frame = Frame {
            body: Bytes::from(format!("{{\"number\":{records}}}")),
            records,
            recorded_at: 7,
        };
        frame.encode().unwrap().1
    }

    /// A file with frames of 1, 2, 3 ... records, and where each begins.
    fn file(frames: u32) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut begins) = (FILE_HEADER.to_vec(), Vec::new());
        for records in 1..=frames {
            begins.push(bytes.len());
            bytes.extend(encoded(records));
        }
        (bytes, begins)
    }

    fn found(scanned: &ScannedFile) -> Vec<u32> {
        scanned.frames.values().map(|it| it.records).collect()
    }

    #[test]
    fn a_tail_that_was_not_written_whole_is_no_damage() {
        let (bytes, begins) = file(3);
        for end in begins[2] + 1..bytes.len() {
            let scanned = scan(&bytes[..end]).unwrap();
            assert_eq!(found(&scanned), [1, 2], "cut at {end}");
            assert_eq!(scanned.end, offset(begins[2]));
            assert!(!scanned.is_damaged, "cut at {end}");
        }
        for end in 0..=FILE_HEADER.len() {
            let scanned = scan(&bytes[..end]).unwrap();
            assert!(!scanned.is_damaged && scanned.frames.is_empty(), "{end}");
        }
    }

    #[test]
    fn only_a_damaged_frame_is_lost_wherever_the_damage_is() {
        let (bytes, begins) = file(5);
        for (number, begin) in begins.iter().enumerate() {
            let end = begins.get(number + 1).copied().unwrap_or(bytes.len());
            for position in *begin..end {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1;
                let scanned = scan(&damaged).unwrap();
                let mut expected = vec![1, 2, 3, 4, 5];
                let lost = expected.remove(number);
                assert_eq!(found(&scanned), expected, "{position}");
                assert!(scanned.is_damaged, "{position}");
                // A damaged header does not say how many.
                let in_body = position >= begin + HEADER_BYTES;
                let lost = if in_body { u64::from(lost) } else { 1 };
                assert_eq!(scanned.lost_records, lost, "{position}");
            }
        }
    }

    #[test]
    fn damage_before_an_unfinished_write_is_told_from_it() {
        let (mut bytes, begins) = file(4);
        bytes.truncate(bytes.len() - 3);
        bytes[begins[2] + HEADER_BYTES] ^= 1;
        let scanned = scan(&bytes).unwrap();
        assert_eq!(found(&scanned), [1, 2]);
        assert_eq!((scanned.is_damaged, scanned.lost_records), (true, 3));
    }

    #[test]
    fn bytes_that_never_were_a_frame_are_damage() {
        let (mut bytes, _) = file(2);
        bytes.extend([0; 100]); // As a crash of the machine may leave them.
        let scanned = scan(&bytes).unwrap();
        assert_eq!(found(&scanned), [1, 2]);
        assert_eq!((scanned.is_damaged, scanned.lost_records), (true, 1));
    }

    #[test]
    fn a_file_of_another_version_is_told_from_a_damaged_one() {
        let (mut bytes, _) = file(2);
        bytes[7] = b'9';
        assert_eq!(scan(&bytes), Err(UnknownFormat));
        bytes[7] = b'2';
        bytes[0] ^= 1;
        let scanned = scan(&bytes).unwrap();
        assert_eq!((found(&scanned), scanned.is_damaged), (vec![1, 2], true));
    }

    proptest! {
        #[test]
        fn frames_without_damage_are_all_found(
            frames in 1..8_u32,
            from in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 1..60),
        ) {
            let (bytes, begins) = file(frames);
            let from = FILE_HEADER.len() + from.index(bytes.len() - FILE_HEADER.len());
            let mut damaged = bytes.clone();
            let length = noise.len().min(bytes.len() - from);
            damaged[from..from + length].copy_from_slice(&noise[..length]);
            let scanned = scan(&damaged).unwrap();
            for (number, begin) in begins.iter().enumerate() {
                let end = begins.get(number + 1).copied().unwrap_or(bytes.len());
                let intact = damaged[*begin..end] == bytes[*begin..end];
                prop_assert_eq!(scanned.frames.contains_key(&offset(*begin)), intact);
            }
        }
    }
}
