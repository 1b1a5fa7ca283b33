//! The files of the spool: what is in them, and how much.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use uuid::Uuid;

use super::directory::{InstanceDirectory, Orphans};
use super::frame::{Frame, FrameHeader, HEADER_BYTES};
use super::segment::{ReadFrame, Segment};

/// A new file is begun after so many bytes: a file is removed when all its frames are confirmed.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// Of the bytes of all files, this part at most is kept for other versions.
const UNDECODABLE_PART: u64 = 4;
/// How many damaged files are kept. The oldest is removed first.
const MAX_DAMAGED_FILES: usize = 8;
const DAMAGED_PREFIX: &str = "damaged-";
const DAMAGED_SUFFIX: &str = ".spool";
/// A failing disk is not asked for more frames than that at a time.
const MAX_READ_ERRORS: usize = 4;

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::recorder) struct FrameId {
    segment: u64,
    offset: u64,
}

#[cfg(test)]
impl FrameId {
    pub(in crate::recorder) const fn of(segment: u64, offset: u64) -> Self {
        Self { segment, offset }
    }
}

/// What becomes of a frame that is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recorder) enum FrameUse {
    /// It waits until it is read and put.
    Waiting,
    /// Its batch is being put already: this process does not read it.
    BeingPut,
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
    /// Records that this version cannot decode. They are kept for another one.
    pub undecodable: u64,
    /// Files and directories of ended processes that cannot be read: they may hold records of any age.
    pub unread_files: u64,
    /// How many records were lost since the start, because their file is damaged: at least so many.
    pub lost: u64,
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
    /// The number of the segment to which frames that cannot be decoded are moved.
    undecodable: Option<u64>,
    next_number: u64,
    /// Frames whose batch is being put.
    being_put: BTreeSet<FrameId>,
    /// Files and directories that could not be read when they were last tried.
    unread: BTreeSet<PathBuf>,
    lost: u64,
    /// The last read failed.
    reads_fail: bool,
    said_undecodable: bool,
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
            undecodable: None,
            next_number: 0,
            being_put: BTreeSet::new(),
            unread: BTreeSet::new(),
            lost: 0,
            reads_fail: false,
            said_undecodable: false,
        })
    }

    /// Takes over the files of instances that have ended, and tries again to read those that could not
    /// be read. Returns how many records they hold.
    pub(super) fn adopt_orphans(&mut self) -> u64 {
        let mut unread = Unread {
            before: std::mem::take(&mut self.unread),
            now: BTreeSet::new(),
        };
        let orphans = InstanceDirectory::adopt_orphans(&self.root);
        let orphans = orphans.unwrap_or_else(|error| Orphans {
            adopted: Vec::new(),
            refused: vec![(self.root.clone(), error)],
        });
        for (path, error) in orphans.refused {
            unread.add(path, &error);
        }
        let mut records = 0;
        let again = self
            .adopted
            .iter()
            .flat_map(|it| unread.before_in(it.path()));
        let mut paths: Vec<PathBuf> = again.collect();
        for orphan in orphans.adopted {
            match Segment::list(orphan.path()) {
                Ok(found) => {
                    paths.extend(found);
                    self.adopted.push(orphan);
                }
                // Without its lock, it is an orphan again.
                Err(error) => unread.add(orphan.path().to_owned(), &error),
            }
        }
        for path in paths {
            match Segment::open(path.clone()) {
                Ok((segment, lost)) => {
                    records += segment.records();
                    self.insert(segment, lost);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // Somebody removed it.
                Err(error) => unread.add(path, &error),
            }
        }
        self.unread = unread.now;
        self.remove_done();
        records
    }

    /// Adds a file that another instance has left.
    fn insert(&mut self, mut segment: Segment, lost: Option<u64>) {
        if let Some(lost) = lost {
            self.damaged(&mut segment, lost);
        }
        self.segments.insert(self.next_number, segment);
        self.next_number += 1;
    }

    /// A part of the file is damaged, with so many records.
    fn damaged(&mut self, segment: &mut Segment, lost: u64) {
        self.lost += lost;
        if segment.is_damaged() {
            return;
        }
        let name = format!("{DAMAGED_PREFIX}{}{DAMAGED_SUFFIX}", Uuid::now_v7());
        let quarantine = self.root.join(name);
        tracing::error!(
            file = %segment.path().display(),
            kept_as = %quarantine.display(),
            records = lost,
            "a file of spooled records is damaged: its other records are published, and it is kept"
        );
        segment.quarantine_as(quarantine);
    }

    /// Appends a frame.
    pub(super) fn append(
        &mut self,
        frame: &Frame,
        frame_use: FrameUse,
    ) -> Result<FrameId, AppendError> {
        let bytes = HEADER_BYTES as u64 + frame.body.len() as u64;
        if self.bytes() + bytes > self.max_bytes {
            return Err(AppendError::Full);
        }
        let number = self.writable(self.open)?;
        self.open = Some(number);
        let id = self.append_to(number, frame)?;
        if frame_use == FrameUse::BeingPut {
            self.being_put.insert(id);
        }
        Ok(id)
    }

    /// This segment if it can be appended to, or else a new one.
    fn writable(&mut self, current: Option<u64>) -> Result<u64, AppendError> {
        let is_open = |segment: &Segment| segment.bytes() < SEGMENT_BYTES;
        let current = current.filter(|number| self.segments.get(number).is_some_and(is_open));
        if let Some(current) = current {
            return Ok(current);
        }
        let number = self.next_number;
        let segment = Segment::create(self.own.path(), number)?;
        self.next_number += 1;
        self.segments.insert(number, segment);
        Ok(number)
    }

    fn append_to(&mut self, number: u64, frame: &Frame) -> Result<FrameId, AppendError> {
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

    /// The oldest frames: at least one, if one can be read, and no more than these bounds allow. Damaged
    /// ones are dropped and counted. One that the disk does not give stays, and is read again later.
    pub(super) fn oldest(
        &mut self,
        max_frames: usize,
        max_bytes: usize,
        now: Instant,
    ) -> Vec<(FrameId, Frame)> {
        let (mut frames, mut bytes) = (Vec::new(), 0);
        let (mut damaged, mut errors) = (Vec::new(), Vec::new());
        'segments: for (number, segment) in &mut self.segments {
            let waiting: Vec<(u64, FrameHeader)> = segment.unconfirmed().collect();
            for (offset, header) in waiting {
                if frames.len() >= max_frames || bytes >= max_bytes {
                    break 'segments;
                }
                if errors.len() >= MAX_READ_ERRORS {
                    break 'segments;
                }
                let id = FrameId {
                    segment: *number,
                    offset,
                };
                if self.being_put.contains(&id) {
                    continue;
                }
                match segment.read(offset, now) {
                    Ok(ReadFrame::Frame(frame)) => {
                        bytes += frame.body.len();
                        frames.push((id, frame));
                    }
                    Ok(ReadFrame::Damaged) => damaged.push((id, header.records)),
                    Ok(ReadFrame::NotYet) => {}
                    Err(error) => errors.push((segment.path().to_owned(), error)),
                }
            }
        }
        for (id, records) in damaged {
            if let Some(mut segment) = self.segments.remove(&id.segment) {
                self.damaged(&mut segment, u64::from(records).max(1));
                self.segments.insert(id.segment, segment);
            }
            self.confirm(id);
        }
        self.tell_read_errors(&errors, !frames.is_empty());
        frames
    }

    fn tell_read_errors(&mut self, errors: &[(PathBuf, io::Error)], read_any: bool) {
        if let Some((path, error)) = errors.first() {
            if !std::mem::replace(&mut self.reads_fail, true) {
                tracing::error!(
                    file = %path.display(),
                    %error,
                    "spooled records cannot be read at present; they stay, and are read again"
                );
            }
        } else if read_any && !self.segments.values().any(Segment::is_failing) {
            self.reads_fail = false;
        }
    }

    /// This version cannot decode the frame. It is kept for another one: the next process that adopts it
    /// tries again.
    pub(super) fn keep_undecodable(&mut self, id: FrameId, frame: &Frame, reason: &str) {
        let bytes = HEADER_BYTES as u64 + frame.body.len() as u64;
        let kept = self.segments.values().flat_map(Segment::undecodable);
        let kept: u64 = kept.map(FrameHeader::frame_bytes).sum();
        if kept + bytes > self.max_bytes / UNDECODABLE_PART {
            self.lost += u64::from(frame.records).max(1);
            tracing::error!(
                records = frame.records,
                reason,
                "spooled records that this version cannot decode are dropped: too many are kept"
            );
            self.confirm(id);
            return;
        }
        if !std::mem::replace(&mut self.said_undecodable, true) {
            tracing::error!(
                records = frame.records,
                reason,
                directory = %self.own.path().display(),
                "this version cannot decode spooled records: they are kept for another one"
            );
        }
        // In a file of their own, so that the others can be removed.
        let moved = self
            .writable(self.undecodable)
            .and_then(|number| self.append_to(number, frame));
        match moved {
            Ok(moved) => {
                self.undecodable = Some(moved.segment);
                self.keep_in_place(moved);
                self.confirm(id);
            }
            Err(_) => self.keep_in_place(id),
        }
    }

    fn keep_in_place(&mut self, id: FrameId) {
        if let Some(segment) = self.segments.get_mut(&id.segment) {
            segment.keep_undecodable(id.offset);
        }
    }

    /// The frame is durable elsewhere. A file without other frames is removed.
    pub(super) fn confirm(&mut self, id: FrameId) {
        self.being_put.remove(&id);
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
        let mut kept_damaged = false;
        for (number, segment) in self.segments.extract_if(.., is_done) {
            if self.open == Some(number) {
                self.open = None;
            }
            kept_damaged |= segment.is_damaged();
            if let Err(error) = segment.remove() {
                // Its records are published again by the next process, which changes nothing.
                tracing::warn!(%error, "a file of spooled records cannot be removed");
            }
        }
        if kept_damaged && let Err(error) = self.remove_old_damaged() {
            tracing::warn!(%error, "old damaged files of spooled records cannot be removed");
        }
        let (segments, unread) = (&self.segments, &self.unread);
        let is_empty = |directory: &mut InstanceDirectory| {
            let path = directory.path();
            let read = segments.values().any(|segment| segment.is_in(path));
            !read && !unread.iter().any(|file| file.parent() == Some(path))
        };
        for directory in self.adopted.extract_if(.., is_empty) {
            directory.remove();
        }
    }

    /// Bounds the number of damaged files that are kept.
    fn remove_old_damaged(&self) -> io::Result<()> {
        let mut damaged = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let is_damaged =
                |name: &str| name.starts_with(DAMAGED_PREFIX) && name.ends_with(DAMAGED_SUFFIX);
            if name.is_some_and(is_damaged) {
                damaged.push(path);
            }
        }
        damaged.sort(); // Their names begin with the time.
        let excess = damaged.len().saturating_sub(MAX_DAMAGED_FILES);
        for path in damaged.into_iter().take(excess) {
            match fs::remove_file(&path) {
                Ok(()) => tracing::warn!(
                    file = %path.display(),
                    "the oldest damaged file of spooled records is removed: too many are kept"
                ),
                // Another process did it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(Segment::bytes).sum()
    }

    pub(super) fn content(&self) -> SpoolContent {
        let segments = self.segments.values();
        let unwritten = segments.clone().filter(|segment| !segment.is_done());
        let undecodable = segments.clone().flat_map(Segment::undecodable);
        SpoolContent {
            frames: segments.clone().map(Segment::frames).sum(),
            records: segments.map(Segment::records).sum(),
            bytes: self.bytes(),
            oldest: unwritten.map(Segment::oldest).min(),
            undecodable: undecodable.map(|frame| u64::from(frame.records)).sum(),
            unread_files: u64::try_from(self.unread.len()).unwrap_or(u64::MAX),
            lost: self.lost,
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

/// What cannot be read, before this look and now.
struct Unread {
    before: BTreeSet<PathBuf>,
    now: BTreeSet<PathBuf>,
}

impl Unread {
    /// Says it once for each.
    fn add(&mut self, path: PathBuf, error: &io::Error) {
        if !self.before.contains(&path) {
            tracing::error!(
                path = %path.display(),
                %error,
                "spooled records of an ended process cannot be read: they stay, and are read again"
            );
        }
        self.now.insert(path);
    }

    fn before_in(&self, directory: &Path) -> Vec<PathBuf> {
        let files = self.before.iter();
        let files = files.filter(|file| file.parent() == Some(directory));
        files.cloned().collect()
    }
}
