//! `ringback serve` on a data directory of its own, and a look into its store.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use contract::Message;
use rusqlite::{Connection, OpenFlags};

use super::record;
use crate::callers::CallerAnswer;
use crate::cleanup::{TempDirectory, signal};
use crate::ledger::Ledger;
use crate::ports::free_port;
use crate::{Callee, Process, eventually, http};

/// How long a start may take: a debug build on a busy machine, with a log to recover.
const READY_TIMEOUT: Duration = Duration::from_secs(90);

/// One process on one data directory. It may be killed and started again; address and directory
/// stay the same.
#[derive(Debug)]
pub struct SingleProcess {
    /// Where callers POST.
    pub address: SocketAddr,
    /// The address of the metrics, and of the details of `/readyz`.
    pub metrics: SocketAddr,
    /// The process, while there is one.
    pub process: Option<Process>,
    environment: BTreeMap<String, String>,
    client: reqwest::Client,
    temp: TempDirectory,
}

impl SingleProcess {
    /// Not started yet: retries after 1 s, 1 s and 2 s, targets on 127.0.0.0/8 allowed, and these
    /// variables, which override those.
    pub fn new(variables: &[(&str, &str)]) -> Self {
        let temp = TempDirectory::new("serve");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let data = temp.path().join("data").display().to_string();
        let usual = [
            ("RINGBACK__BROKER__DATA_DIR", &*data),
            ("RINGBACK__INGRESS__LISTEN", &*address.to_string()),
            ("RINGBACK__METRICS__LISTEN", &*metrics.to_string()),
            ("RINGBACK__RETRY__SCHEDULE", "1s,1s,2s"),
            ("RINGBACK__GUARD__ALLOW", "127.0.0.0/8"),
        ];
        let all = usual.iter().chain(variables);
        let environment = all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self {
            address,
            metrics,
            process: None,
            environment: environment.collect(),
            client: http::client(),
            temp,
        }
    }

    /// The same, started and ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let mut started = Self::new(variables);
        started.spawn();
        started.ready().await;
        started
    }

    /// The data directory.
    pub fn directory(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// The variables of the process.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Starts the process without waiting for it.
    pub fn spawn(&mut self) {
        self.process = Some(Process::ringback(&["serve"], &self.environment));
    }

    /// Starts the process in its own mount namespace, with a memory file system of this many MiB as
    /// its data directory, and waits until it is ready. Returns the path of that directory as seen
    /// from here while the process runs.
    ///
    /// # Panics
    /// When it does not become ready, for instance because mounting is forbidden.
    pub async fn start_on_small_disk(&mut self, mebibytes: u32, unshare: &[&str]) -> PathBuf {
        let directory = self.directory();
        fs::create_dir_all(&directory).expect("a data directory");
        let script =
            format!(r#"mount -t tmpfs -o size={mebibytes}m tmpfs "$1" && exec "$2" serve"#);
        let shown = directory.display().to_string();
        let program = crate::process::binary().display().to_string();
        let mut arguments = unshare.to_vec();
        arguments.extend(["sh", "-c", &script, "sh", &shown, &program]);
        let process = Process::start(Path::new("unshare"), &arguments, &self.environment);
        let pid = process.pid();
        self.process = Some(process);
        self.ready().await;
        let seen = directory.strip_prefix("/").expect("an absolute path");
        Path::new("/proc")
            .join(pid.to_string())
            .join("root")
            .join(seen)
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    /// When the process has ended, or is not ready after a while.
    pub async fn ready(&mut self) {
        eventually("the process to be ready", READY_TIMEOUT, async || {
            let ended = self.process.as_mut().and_then(Process::ended);
            assert_eq!(ended, None, "ended before it was ready");
            match self.get("/readyz").await? {
                (200, _) => Ok(()),
                (status, body) => Err(format!("{status} {body}")),
            }
        })
        .await;
    }

    /// GETs a path: status and body.
    ///
    /// # Errors
    /// As text, when there is no complete answer.
    pub async fn get(&self, path: &str) -> Result<(u16, String), String> {
        self.get_at(self.address, path).await
    }

    /// GETs a path of the metrics listener: status and body.
    ///
    /// # Errors
    /// As text, when there is no complete answer.
    pub async fn get_details(&self, path: &str) -> Result<(u16, String), String> {
        self.get_at(self.metrics, path).await
    }

    async fn get_at(&self, address: SocketAddr, path: &str) -> Result<(u16, String), String> {
        let describe = |error: reqwest::Error| format!("{error:?}");
        let url = format!("http://{address}{path}");
        let response = self.client.get(url).send().await.map_err(describe)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(describe)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// A memory figure of the process in `/proc/PID/status`, in bytes.
    ///
    /// # Panics
    /// When there is no process.
    pub fn memory(&self, name: &str) -> f64 {
        let pid = self.process.as_ref().expect("a process").pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line
            .expect("a line of that name")
            .trim()
            .trim_end_matches(" kB");
        kib.parse::<f64>().expect("a number") * 1024.0
    }

    /// Kills the process with SIGKILL, as a crash would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Stops the process and returns its exit status.
    ///
    /// # Panics
    /// When there is none, or it does not stop.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a process");
        process.sigterm();
        process.wait_exit(READY_TIMEOUT).await
    }

    /// Copies the store in `directory` while the process is stopped, and returns the path of the
    /// copy: what a crash at this moment would leave. For a directory that SQLite cannot open from
    /// here, because it resolves `/proc/PID/root` like an ordinary link.
    ///
    /// # Panics
    /// When there is no process, or a file cannot be copied.
    pub async fn copied(&self, directory: &Path) -> PathBuf {
        let pid = self.process.as_ref().expect("a process").pid();
        signal(pid, "STOP");
        eventually("every thread to be stopped", READY_TIMEOUT, async || {
            is_stopped(pid).then_some(())
        })
        .await;
        let copy = self.temp.path().join("copy");
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).expect("a directory");
        for name in ["queue.db", "queue.db-wal"] {
            fs::copy(directory.join(name), copy.join(name)).expect("a copy");
        }
        signal(pid, "CONT");
        copy
    }

    /// The ledger of the whole run: the callers' answers, the callee's requests, and the messages
    /// in the store in `directory`.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub fn ledger(&self, directory: &Path, answers: &[CallerAnswer], callee: &Callee) -> Ledger {
        record::ledger(answers, callee, stored(directory))
    }
}

/// Whether all threads of a process are stopped (proc(5): state `T`).
fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

/// The messages in a store, with their queue. A process may be using it.
///
/// # Panics
/// When it cannot be read, or one of its messages cannot.
pub fn stored(directory: &Path) -> Vec<(String, Message)> {
    let file = directory.join("queue.db");
    let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    connection.busy_timeout(READY_TIMEOUT).expect("a time-out");
    let mut rows = connection
        .prepare("SELECT queue, body FROM messages ORDER BY number")
        .expect("the table");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
    rows.expect("the messages")
        .map(|row| {
            let (queue, body) = row.expect("a message");
            let message = Message::decode(&body.into()).expect("a readable message");
            (queue, message)
        })
        .collect()
}
