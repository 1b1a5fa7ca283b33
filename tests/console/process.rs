//! A child process that is ended when it is dropped.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::SOON;

/// A process and its directory, which is removed with it.
pub(crate) struct Process {
    _child: Child,
    directory: PathBuf,
}

impl Process {
    /// Starts it, and waits for a line that it writes to either stream.
    pub(crate) async fn start(
        mut command: Command,
        directory: PathBuf,
        said: &str,
    ) -> (Self, String) {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        // Both are read to the end: a full pipe would stop it.
        let (sender, mut lines) = mpsc::unbounded_channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        let reading = async {
            let mut before = Vec::new();
            while let Some(line) = lines.recv().await {
                if line.contains(said) {
                    return line;
                }
                before.push(line);
            }
            panic!("it never said {said:?}, but {before:#?}");
        };
        let line = tokio::time::timeout(SOON, reading).await.unwrap();
        let process = Self {
            _child: child,
            directory,
        };
        (process, line)
    }
}

fn forward(stream: impl AsyncRead + Send + Unpin + 'static, to: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(stream).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = to.send(line);
        }
    });
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
