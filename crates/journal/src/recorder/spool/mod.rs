//! The spool: local files with the records that the sink has not taken yet, so that a killed process
//! loses none.
//!
//! Nothing is written while the sink works. A batch that fails, or is late, is appended by a thread of
//! its own, and erased when it is durable elsewhere. What a killed process leaves is adopted by the
//! next one that uses the same directory. A write reaches the kernel, not the disk: it survives the
//! end of the process, however it ends, but not a crash of the machine.
//!
//! - `frame.rs`: how a batch lies in a file. `segment.rs`: a file of frames.
//! - `directory.rs`: the directory of an instance, and its lock. `files.rs`: all files, within a bound.

mod directory;
mod files;
mod frame;
mod segment;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use files::SpoolFiles;

pub use files::SpoolContent;
pub(super) use files::{AppendError, FrameId};
pub(super) use frame::Frame;

/// The bytes of all its files at most.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// How often the files of ended instances are looked for. The first look is at the start.
const ADOPT_INTERVAL: Duration = Duration::from_secs(60);
/// A disk that takes longer counts as broken: nobody waits for it.
const APPEND_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// What is read at a time.
const READ_FRAMES: usize = 16;
const READ_BYTES: usize = 4 * 1024 * 1024;

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
    Append(Frame, oneshot::Sender<Result<FrameId, AppendError>>),
    Oldest(oneshot::Sender<OldestFrames>),
    Confirm(FrameId),
    Close(oneshot::Sender<()>),
}

/// The oldest frames of the spool.
#[derive(Debug, Default)]
pub(super) struct OldestFrames {
    pub(super) frames: Vec<(FrameId, Frame)>,
    /// Records that were dropped because they could not be read.
    pub(super) lost_records: u64,
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
    pub(super) async fn append(&self, frame: Frame) -> Result<FrameId, AppendError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Append(frame, reply);
        self.commands
            .send(command)
            .map_err(|_| AppendError::NoAnswer)?;
        match tokio::time::timeout(APPEND_TIMEOUT, answer).await {
            Ok(Ok(appended)) => appended,
            Ok(Err(_)) | Err(_) => Err(AppendError::NoAnswer),
        }
    }

    /// The oldest batches; none if it is empty.
    pub(super) async fn oldest(&self) -> OldestFrames {
        let (reply, answer) = oneshot::channel();
        // An error means that the thread has ended.
        let _ = self.commands.send(Command::Oldest(reply));
        answer.await.unwrap_or_default()
    }

    /// The batch is durable elsewhere, and is erased.
    pub(super) fn confirm(&self, id: FrameId) {
        let _ = self.commands.send(Command::Confirm(id));
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
    let closed = loop {
        let mut confirmed = None;
        match commands.recv_timeout(ADOPT_INTERVAL) {
            Ok(Command::Append(frame, reply)) => {
                let appended = files.append(&frame);
                content.send_replace(files.content());
                if let Err(Ok(unwanted)) = reply.send(appended) {
                    confirmed = Some(unwanted); // Nobody waits for it any more.
                }
            }
            Ok(Command::Oldest(reply)) => {
                let (frames, lost_records) = files.oldest(READ_FRAMES, READ_BYTES);
                let oldest = OldestFrames {
                    frames,
                    lost_records,
                };
                let _ = reply.send(oldest);
            }
            Ok(Command::Confirm(id)) => confirmed = Some(id),
            Ok(Command::Close(reply)) => break Some(reply),
            Err(RecvTimeoutError::Timeout) => adopt(&mut files),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
        if let Some(id) = confirmed {
            files.confirm(id);
        }
        content.send_replace(files.content());
    };
    files.close();
    if let Some(closed) = closed {
        let _ = closed.send(());
    }
}

fn adopt(files: &mut SpoolFiles) {
    match files.adopt_orphans() {
        Ok(0) => {}
        Ok(records) => tracing::info!(
            records,
            "records of an ended process found in the spool; they are published now"
        ),
        Err(error) => tracing::warn!(%error, "the spool's directory cannot be read"),
    }
}
