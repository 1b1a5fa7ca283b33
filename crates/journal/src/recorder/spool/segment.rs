//! A file of frames, which is only appended to, and removed as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::directory::PRIVATE_FILE;
use super::frame::{FILE_HEADER, Frame, FrameHeader, HEADER_BYTES};

const PREFIX: &str = "records-";
const SUFFIX: &str = ".spool";

/// A file of frames.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    /// Where the next frame begins. What the file holds beyond it is the rest of a failed write.
    end: u64,
    /// The frames that are not confirmed, by their offset.
    unconfirmed: BTreeMap<u64, FrameHeader>,
    /// The number of records in them.
    records: u64,
    /// When the oldest record of the file was recorded, confirmed or not; Unix ms.
    oldest: u64,
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
            records: 0,
            oldest: u64::MAX,
        })
    }

    /// Opens the files in a directory, oldest first.
    pub(super) fn open_all(directory: &Path) -> io::Result<Vec<Self>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
                paths.push(path);
            }
        }
        paths.sort();
        paths.into_iter().map(Self::open).collect()
    }

    /// Opens a file, and cuts off a tail that was not written whole.
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        let (end, unconfirmed) = scan(&file)?;
        if end < length {
            let (file_name, bytes) = (path.display(), length - end);
            tracing::warn!(
                file = %file_name,
                bytes,
                "the end of a file of spooled records was not written whole and is cut off"
            );
            file.set_len(end)?;
        }
        let headers = unconfirmed.values();
        let oldest = headers.clone().map(|header| header.recorded_at).min();
        Ok(Self {
            path,
            file,
            end,
            records: headers.map(|header| u64::from(header.records)).sum(),
            oldest: oldest.unwrap_or(u64::MAX),
            unconfirmed,
        })
    }

    /// Appends a frame. Returns its offset.
    ///
    /// # Errors
    /// When it cannot be written; then the file is as before.
    pub(super) fn append(&mut self, frame: &Frame) -> io::Result<u64> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let bytes = frame.encode().ok_or_else(too_large)?;
        let header = bytes.first_chunk().and_then(FrameHeader::decode);
        let header = header.ok_or_else(too_large)?;
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

    /// Reads the frame at this offset. `None`: it is damaged.
    pub(super) fn read(&self, offset: u64) -> io::Result<Option<Frame>> {
        let Some(header) = self.unconfirmed.get(&offset) else {
            return Ok(None);
        };
        let mut body = vec![0; usize::try_from(header.body_bytes).unwrap_or_default()];
        let start = offset + HEADER_BYTES as u64;
        self.file.read_exact_at(&mut body, start)?;
        Ok(header.with_body(body))
    }

    /// The frames that are not confirmed, oldest first.
    pub(super) fn unconfirmed(&self) -> impl Iterator<Item = (u64, &FrameHeader)> {
        self.unconfirmed
            .iter()
            .map(|(offset, header)| (*offset, header))
    }

    /// Confirms a frame.
    pub(super) fn confirm(&mut self, offset: u64) {
        if let Some(header) = self.unconfirmed.remove(&offset) {
            self.records -= u64::from(header.records);
        }
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
        self.unconfirmed.is_empty()
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

    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }
}

/// The end of the last whole frame, and the frames.
fn scan(file: &File) -> io::Result<(u64, BTreeMap<u64, FrameHeader>)> {
    let mut reader = BufReader::with_capacity(1024 * 1024, file);
    let mut frames = BTreeMap::new();
    let mut magic = [0; FILE_HEADER.len()];
    if !read_whole(&mut reader, &mut magic)? {
        return Ok((0, frames));
    }
    if magic != *FILE_HEADER {
        let reason = "a file of spooled records has an unknown format";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut end = FILE_HEADER.len() as u64;
    let mut header = [0; HEADER_BYTES];
    while read_whole(&mut reader, &mut header)?
        && let Some(header) = FrameHeader::decode(&header)
    {
        let mut body = Vec::new();
        let length = u64::from(header.body_bytes);
        reader.by_ref().take(length).read_to_end(&mut body)?;
        if header.with_body(body).is_none() {
            break;
        }
        frames.insert(end, header);
        end += header.frame_bytes();
    }
    Ok((end, frames))
}

/// Whether the file was long enough.
fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
