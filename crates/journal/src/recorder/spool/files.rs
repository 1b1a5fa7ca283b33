//! The files of the spool: what is in them, and how much.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::InstanceDirectory;
use super::frame::{Frame, HEADER_BYTES};
use super::segment::Segment;

/// A new file is begun after so many bytes: a file is removed when all its frames are confirmed.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recorder) struct FrameId {
    segment: u64,
    offset: u64,
}

/// A frame could not be appended.
#[derive(Debug, thiserror::Error)]
pub(in crate::recorder) enum AppendError {
    #[error("the spool is full")]
    Full,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the spool does not answer")]
    NoAnswer,
}

/// What is in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolContent {
    /// Batches that are not confirmed. A batch without records tells that there were none.
    pub frames: u64,
    /// Records that are not confirmed.
    pub records: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When the oldest of the records was recorded; Unix ms. 0 until the files of earlier processes
    /// have been read.
    pub oldest: Option<u64>,
}

/// The files of this instance, and those of the instances that it has adopted.
#[derive(Debug)]
pub(super) struct SpoolFiles {
    root: PathBuf,
    max_bytes: u64,
    own: InstanceDirectory,
    adopted: Vec<InstanceDirectory>,
    /// By their age: adopted ones have lower numbers than those written after the adoption.
    segments: BTreeMap<u64, Segment>,
    /// The number of the segment that is appended to.
    open: Option<u64>,
    next_number: u64,
}

impl SpoolFiles {
    /// Creates the directory of this instance in `root`.
    pub(super) fn create(root: &Path, max_bytes: u64) -> io::Result<Self> {
        Ok(Self {
            own: InstanceDirectory::create(root)?,
            root: root.to_owned(),
            max_bytes,
            adopted: Vec::new(),
            segments: BTreeMap::new(),
            open: None,
            next_number: 0,
        })
    }

    /// Takes over the files of instances that have ended. Returns how many records they hold.
    pub(super) fn adopt_orphans(&mut self) -> io::Result<u64> {
        let mut records = 0;
        for orphan in InstanceDirectory::adopt_orphans(&self.root)? {
            let segments = match Segment::open_all(orphan.path()) {
                Ok(segments) => segments,
                Err(error) => {
                    let directory = orphan.path().display();
                    tracing::warn!(%directory, %error, "spooled records cannot be read");
                    continue;
                }
            };
            for segment in segments {
                records += segment.records();
                self.segments.insert(self.next_number, segment);
                self.next_number += 1;
            }
            self.adopted.push(orphan);
        }
        self.remove_done();
        Ok(records)
    }

    /// Appends a frame.
    pub(super) fn append(&mut self, frame: &Frame) -> Result<FrameId, AppendError> {
        let bytes = HEADER_BYTES as u64 + frame.body.len() as u64;
        if self.bytes() + bytes > self.max_bytes {
            return Err(AppendError::Full);
        }
        let is_open = |segment: &Segment| segment.bytes() < SEGMENT_BYTES;
        let open = self
            .open
            .filter(|open| self.segments.get(open).is_some_and(is_open));
        let number = match open {
            Some(open) => open,
            None => {
                let number = self.next_number;
                let segment = Segment::create(self.own.path(), number)?;
                self.next_number += 1;
                self.segments.insert(number, segment);
                self.open = Some(number);
                number
            }
        };
        let Some(segment) = self.segments.get_mut(&number) else {
            return Err(AppendError::NoAnswer);
        };
        match segment.append(frame) {
            Ok(offset) => Ok(FrameId {
                segment: number,
                offset,
            }),
            Err(error) => {
                self.remove_done();
                Err(error.into())
            }
        }
    }

    /// The oldest frames: at least one, if there is one, and no more than these bounds allow.
    /// Damaged ones are dropped; the second number counts their records.
    pub(super) fn oldest(
        &mut self,
        max_frames: usize,
        max_bytes: usize,
    ) -> (Vec<(FrameId, Frame)>, u64) {
        let (mut frames, mut bytes) = (Vec::new(), 0);
        let mut damaged = Vec::new();
        'segments: for (number, segment) in &self.segments {
            for (offset, header) in segment.unconfirmed() {
                if frames.len() >= max_frames || bytes >= max_bytes {
                    break 'segments;
                }
                let id = FrameId {
                    segment: *number,
                    offset,
                };
                match segment.read(offset) {
                    Ok(Some(frame)) => {
                        bytes += frame.body.len();
                        frames.push((id, frame));
                    }
                    Ok(None) => damaged.push((id, "it is damaged".to_owned(), header.records)),
                    Err(error) => damaged.push((id, error.to_string(), header.records)),
                }
            }
        }
        let mut lost = 0;
        for (id, error, records) in damaged {
            tracing::error!(
                records,
                error,
                "spooled records cannot be read and are dropped"
            );
            lost += u64::from(records);
            self.confirm(id);
        }
        (frames, lost)
    }

    /// The frame is durable elsewhere. A file without other frames is removed.
    pub(super) fn confirm(&mut self, id: FrameId) {
        if let Some(segment) = self.segments.get_mut(&id.segment) {
            segment.confirm(id.offset);
            if segment.is_done() {
                self.remove_done();
            }
        }
    }

    /// Removes the files whose frames are all confirmed, and the directories without files.
    fn remove_done(&mut self) {
        let is_done = |_: &u64, segment: &mut Segment| segment.is_done();
        for (number, segment) in self.segments.extract_if(.., is_done) {
            if self.open == Some(number) {
                self.open = None;
            }
            if let Err(error) = segment.remove() {
                // Its records are published again by the next process, which changes nothing.
                tracing::warn!(%error, "a file of spooled records cannot be removed");
            }
        }
        let segments = &self.segments;
        let is_empty = |directory: &mut InstanceDirectory| {
            let path = directory.path();
            !segments.values().any(|segment| segment.is_in(path))
        };
        for directory in self.adopted.extract_if(.., is_empty) {
            directory.remove();
        }
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(Segment::bytes).sum()
    }

    pub(super) fn content(&self) -> SpoolContent {
        let unconfirmed = self.segments.values().filter(|segment| !segment.is_done());
        SpoolContent {
            frames: self.segments.values().map(Segment::frames).sum(),
            records: self.segments.values().map(Segment::records).sum(),
            bytes: self.bytes(),
            oldest: unconfirmed.map(Segment::oldest).min(),
        }
    }

    /// Writes what is left to the disk itself, or removes the directory if nothing is.
    pub(super) fn close(mut self) {
        self.remove_done();
        for segment in self.segments.values() {
            if let Err(error) = segment.sync() {
                tracing::warn!(%error, "spooled records may not survive a crash of the machine");
            }
        }
        let own = self.own.path();
        if !self.segments.values().any(|segment| segment.is_in(own)) {
            self.own.remove();
        }
    }
}
