//! The spool: local files with the records that the sink has not taken yet, so that a killed process
//! loses none.
//!
//! Nothing is written while the sink works. A batch that fails, or is late, is appended by a thread of
//! its own, and erased when it is durable elsewhere. What a killed process leaves is adopted by the
//! next one that uses the same directory. A write reaches the kernel, not the disk: it survives the
//! end of the process, however it ends, but not a crash of the machine.
//!
//! Only what is durable elsewhere is erased. What the disk does not give is read again; what is damaged
//! is counted and its file kept; what only another version can decode is kept for it.
//!
//! - `frame.rs`: how a batch lies in a file. `scan.rs`: finds the frames of a file, also behind damage.
//!   `segment.rs`: a file of frames.
//! - `directory.rs`: the directory of an instance, and its lock. `files.rs`: all files, within a bound.

mod directory;
mod files;
mod frame;
mod scan;
mod segment;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use failpoints::crash_point;
use tokio::sync::{oneshot, watch};

use files::SpoolFiles;

pub use files::SpoolContent;
pub(super) use files::{AppendError, FrameId, FrameUse};
pub(super) use frame::Frame;

/// The bytes of all its files at most.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// How often the files of ended instances are looked for. The first look is at the start.
const ADOPT_INTERVAL: Duration = Duration::from_secs(60);
/// A disk that takes longer counts as broken: nobody waits for it. A machine that is short of processors
/// makes a disk that works look like one that is slow.
const APPEND_TIMEOUT: Duration = Duration::from_secs(4);
/// No shorter than an append may take.
const CLOSE_TIMEOUT: Duration = APPEND_TIMEOUT;
/// What is read at a time.
const READ_FRAMES: usize = 512;
const READ_BYTES: usize = 8 * 1024 * 1024;

/// The spool of this process. Its files are written and read by a thread of its own.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    /// Not bounded: those who send wait for the answers, and are few.
    commands: Sender<Command>,
    content: watch::Receiver<SpoolContent>,
}

#[derive(Debug)]
enum Command {
    Append(
        Frame,
        FrameUse,
        oneshot::Sender<Result<FrameId, AppendError>>,
    ),
    Oldest(oneshot::Sender<Vec<(FrameId, Frame)>>),
    Confirm(FrameId),
    /// This version cannot decode it, for this reason.
    Undecodable(FrameId, Frame, String),
    Close(oneshot::Sender<()>),
}

impl Spool {
    /// Creates the directory of this process in `directory`, and adopts in the background what ended
    /// processes have left there.
    ///
    /// # Errors
    /// When nothing can be created there.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Self::with_max_bytes(directory, MAX_BYTES)
    }

    fn with_max_bytes(directory: &Path, max_bytes: u64) -> io::Result<Self> {
        let files = SpoolFiles::create(directory, max_bytes)?;
        let (commands, inbox) = mpsc::channel();
        // What ended processes have left is not known yet: it may be of any age.
        let unknown = SpoolContent {
            oldest: Some(0),
            ..SpoolContent::default()
        };
        let (content_sender, content) = watch::channel(unknown);
        thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || run(files, &inbox, &content_sender))?;
        Ok(Self {
            directory: directory.to_owned(),
            commands,
            content,
        })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is in it.
    pub fn content(&self) -> watch::Receiver<SpoolContent> {
        self.content.clone()
    }

    /// Appends a batch. Cancelled or failed, it leaves nothing behind.
    pub(super) async fn append(
        &self,
        frame: Frame,
        frame_use: FrameUse,
    ) -> Result<FrameId, AppendError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Append(frame, frame_use, reply);
        self.commands
            .send(command)
            .map_err(|_| AppendError::NoAnswer)?;
        match tokio::time::timeout(APPEND_TIMEOUT, answer).await {
            Ok(Ok(appended)) => appended,
            Ok(Err(_)) | Err(_) => Err(AppendError::NoAnswer),
        }
    }

    /// The oldest batches; none if it is empty, or if none can be read at present.
    pub(super) async fn oldest(&self) -> Vec<(FrameId, Frame)> {
        let (reply, answer) = oneshot::channel();
        // An error means that the thread has ended.
        let _ = self.commands.send(Command::Oldest(reply));
        answer.await.unwrap_or_default()
    }

    /// The batch is durable elsewhere, and is erased.
    pub(super) fn confirm(&self, id: FrameId) {
        let _ = self.commands.send(Command::Confirm(id));
    }

    /// This version cannot decode the batch. It is kept for another one.
    pub(super) fn keep_undecodable(&self, id: FrameId, frame: Frame, reason: String) {
        let _ = self.commands.send(Command::Undecodable(id, frame, reason));
    }

    /// Writes what is left to the disk, and releases the files to the next process. Returns how many
    /// records are left.
    pub(super) async fn close(&self) -> u64 {
        let (reply, closed) = oneshot::channel();
        let _ = self.commands.send(Command::Close(reply));
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
        self.content.borrow().records
    }
}

/// Executes commands until the spool is closed or dropped.
fn run(mut files: SpoolFiles, commands: &Receiver<Command>, content: &watch::Sender<SpoolContent>) {
    adopt(&mut files);
    content.send_replace(files.content());
    let mut adopt_at = Instant::now() + ADOPT_INTERVAL;
    let closed = loop {
        let mut confirmed = None;
        match commands.recv_timeout(adopt_at.saturating_duration_since(Instant::now())) {
            Ok(Command::Append(frame, frame_use, reply)) => {
                crash_point!("spool.append");
                let appended = files.append(&frame, frame_use);
                crash_point!("spool.appended");
                content.send_replace(files.content());
                if let Err(Ok(unwanted)) = reply.send(appended) {
                    confirmed = Some(unwanted); // Nobody waits for it any more.
                }
            }
            Ok(Command::Oldest(reply)) => {
                let _ = reply.send(files.oldest(READ_FRAMES, READ_BYTES, Instant::now()));
            }
            Ok(Command::Undecodable(id, frame, reason)) => {
                files.keep_undecodable(id, &frame, &reason);
            }
            Ok(Command::Confirm(id)) => confirmed = Some(id),
            Ok(Command::Close(reply)) => break Some(reply),
            Err(RecvTimeoutError::Timeout) => {
                adopt(&mut files);
                adopt_at = Instant::now() + ADOPT_INTERVAL;
            }
            Err(RecvTimeoutError::Disconnected) => break None,
        }
        if let Some(id) = confirmed {
            crash_point!("spool.confirm");
            files.confirm(id);
            crash_point!("spool.confirmed");
        }
        content.send_replace(files.content());
    };
    files.close();
    if let Some(closed) = closed {
        let _ = closed.send(());
    }
}

fn adopt(files: &mut SpoolFiles) {
    let records = files.adopt_orphans();
    if records > 0 {
        tracing::info!(
            records,
            "records of an ended process found in the spool; they are published now"
        );
    }
}
