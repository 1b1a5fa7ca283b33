//! A file of frames, which is only appended to, and removed as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::directory::PRIVATE_FILE;
use super::frame::{FILE_HEADER, Frame, FrameHeader, HEADER_BYTES};
use super::scan::{ScannedFile, scan};

const PREFIX: &str = "records-";
const SUFFIX: &str = ".spool";
/// Before a frame that could not be read is read again: a failing disk may take seconds each time.
const READ_RETRY_DELAY: Duration = Duration::from_secs(30);

/// A file of frames.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    /// Where the next frame begins. What the file holds beyond it is the rest of a failed write.
    end: u64,
    /// The frames that are not confirmed, by their offset.
    unconfirmed: BTreeMap<u64, FrameHeader>,
    /// Of these, those that could not be read, and when they are read again.
    failing: BTreeMap<u64, Instant>,
    /// The frames that this version cannot decode.
    undecodable: BTreeMap<u64, FrameHeader>,
    /// The number of records in `unconfirmed`.
    records: u64,
    /// When the oldest record of the file was recorded, confirmed or not; Unix ms.
    oldest: u64,
    /// Where the file is moved when its frames are confirmed, because a part of it is damaged.
    quarantine: Option<PathBuf>,
}

/// What reading a frame found.
#[derive(Debug)]
pub(super) enum ReadFrame {
    Frame(Frame),
    Damaged,
    /// It could not be read a moment ago, and is not tried yet.
    NotYet,
}

impl Segment {
    /// Creates the file with this number.
    pub(super) fn create(directory: &Path, number: u64) -> io::Result<Self> {
        let path = directory.join(format!("{PREFIX}{number:08}{SUFFIX}"));
        let mut file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .mode(PRIVATE_FILE)
            .open(&path)?;
        if let Err(error) = file.write_all(FILE_HEADER) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self {
            path,
            file,
            end: FILE_HEADER.len() as u64,
            unconfirmed: BTreeMap::new(),
            failing: BTreeMap::new(),
            undecodable: BTreeMap::new(),
            records: 0,
            oldest: u64::MAX,
            quarantine: None,
        })
    }

    /// The files in a directory, oldest first.
    pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Opens a file, and cuts off a tail that was not written whole. Returns as well how many records
    /// are lost, if a part of it is damaged.
    ///
    /// # Errors
    /// When it cannot be read, or has another format; then it is as before.
    pub(super) fn open(path: PathBuf) -> io::Result<(Self, Option<u64>)> {
        let file = File::options().read(true).write(true).open(&path)?;
        let bytes = fs::read(&path)?;
        let ScannedFile {
            frames,
            end,
            is_damaged,
            lost_records,
        } = scan(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let length = bytes.len() as u64;
        if end < length && !is_damaged {
            let (file_name, bytes) = (path.display(), length - end);
            tracing::warn!(
                file = %file_name,
                bytes,
                "the end of a file of spooled records was not written whole and is cut off"
            );
            file.set_len(end)?;
        }
        let headers = frames.values();
        let oldest = headers.clone().map(|header| header.recorded_at).min();
        let segment = Self {
            path,
            file,
            end: if is_damaged { length } else { end },
            records: headers.map(|header| u64::from(header.records)).sum(),
            oldest: oldest.unwrap_or(u64::MAX),
            unconfirmed: frames,
            failing: BTreeMap::new(),
            undecodable: BTreeMap::new(),
            quarantine: None,
        };
        Ok((segment, is_damaged.then_some(lost_records)))
    }

    /// Appends a frame. Returns its offset.
    ///
    /// # Errors
    /// When it cannot be written; then the file is as before.
    pub(super) fn append(&mut self, frame: &Frame) -> io::Result<u64> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let (header, bytes) = frame.encode().ok_or_else(too_large)?;
        let offset = self.end;
        if let Err(error) = self.file.write_all_at(&bytes, offset) {
            // If this fails too: the frame's checksum is wrong, and the next write overwrites it.
            let _ = self.file.set_len(offset);
            return Err(error);
        }
        self.end += header.frame_bytes();
        self.records += u64::from(header.records);
        self.oldest = self.oldest.min(header.recorded_at);
        self.unconfirmed.insert(offset, header);
        Ok(offset)
    }

    /// Reads the frame at this offset.
    ///
    /// # Errors
    /// When the disk fails. It is not read again for a while.
    pub(super) fn read(&mut self, offset: u64, now: Instant) -> io::Result<ReadFrame> {
        let Some(header) = self.unconfirmed.get(&offset) else {
            return Ok(ReadFrame::Damaged);
        };
        if self.failing.get(&offset).is_some_and(|retry| *retry > now) {
            return Ok(ReadFrame::NotYet);
        }
        let mut body = vec![0; usize::try_from(header.body_bytes).unwrap_or_default()];
        let start = offset + HEADER_BYTES as u64;
        match self.file.read_exact_at(&mut body, start) {
            Ok(()) => {}
            // The file is shorter than it was: what is missing is nowhere.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(ReadFrame::Damaged);
            }
            Err(error) => {
                self.failing.insert(offset, now + READ_RETRY_DELAY);
                return Err(error);
            }
        }
        self.failing.remove(&offset);
        let frame = header.with_body(body);
        Ok(frame.map_or(ReadFrame::Damaged, ReadFrame::Frame))
    }

    /// The frames that are not confirmed, oldest first.
    pub(super) fn unconfirmed(&self) -> impl Iterator<Item = (u64, FrameHeader)> {
        let frames = self.unconfirmed.iter();
        frames.map(|(offset, header)| (*offset, *header))
    }

    /// Whether a frame could not be read.
    pub(super) fn is_failing(&self) -> bool {
        !self.failing.is_empty()
    }

    /// Confirms a frame.
    pub(super) fn confirm(&mut self, offset: u64) {
        self.take(offset);
    }

    /// Keeps a frame that this version cannot decode for another one.
    pub(super) fn keep_undecodable(&mut self, offset: u64) {
        if let Some(header) = self.take(offset) {
            self.undecodable.insert(offset, header);
        }
    }

    fn take(&mut self, offset: u64) -> Option<FrameHeader> {
        self.failing.remove(&offset);
        let header = self.unconfirmed.remove(&offset)?;
        self.records -= u64::from(header.records);
        Some(header)
    }

    /// The frames that this version cannot decode.
    pub(super) fn undecodable(&self) -> impl Iterator<Item = &FrameHeader> {
        self.undecodable.values()
    }

    /// A part of it is damaged: it is moved there when its frames are confirmed.
    pub(super) fn quarantine_as(&mut self, path: PathBuf) {
        self.quarantine = Some(path);
    }

    /// Whether a part of it is damaged.
    pub(super) const fn is_damaged(&self) -> bool {
        self.quarantine.is_some()
    }

    /// The number of frames that are not confirmed.
    pub(super) fn frames(&self) -> u64 {
        u64::try_from(self.unconfirmed.len()).unwrap_or(u64::MAX)
    }

    /// The number of records that are not confirmed.
    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// A time before which none of its unconfirmed records was recorded; Unix ms.
    pub(super) const fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Whether every frame is confirmed.
    pub(super) fn is_done(&self) -> bool {
        self.unconfirmed.is_empty() && self.undecodable.is_empty()
    }

    /// The bytes that it takes on the disk.
    pub(super) const fn bytes(&self) -> u64 {
        self.end
    }

    /// Whether it is in this directory.
    pub(super) fn is_in(&self, directory: &Path) -> bool {
        self.path.parent() == Some(directory)
    }

    /// Writes it to the disk itself, so that it survives a crash of the machine.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, or moves it if a part of it is damaged.
    pub(super) fn remove(self) -> io::Result<()> {
        match self.quarantine {
            Some(quarantine) => fs::rename(self.path, quarantine),
            None => fs::remove_file(self.path),
        }
    }
}
