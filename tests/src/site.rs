//! How does a test run `ringback serve` on a directory of its own, and look into the store?

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use contract::Message;
use rusqlite::{Connection, OpenFlags};

use crate::callers::{self, Answer};
use crate::ledger::{Found, Ledger, Told, fingerprint};
use crate::nest::{Nest, signal};
use crate::ports::free_port;
use crate::{Callee, Process, eventually, http};

/// How long a start may take: a debug build on a busy machine, with a log to recover.
const READY: Duration = Duration::from_secs(90);

/// A small site: one process on one data directory. It may be killed and started again; address
/// and directory stay.
#[derive(Debug)]
pub struct Site {
    /// Where callers POST.
    pub address: SocketAddr,
    /// The process, while there is one.
    pub process: Option<Process>,
    environment: BTreeMap<String, String>,
    client: reqwest::Client,
    nest: Nest,
}

impl Site {
    /// A site that is not started: retries after 1 s, 1 s and 2 s, targets on 127.0.0.0/8 allowed,
    /// and these variables, which win over those.
    pub fn new(variables: &[(&str, &str)]) -> Self {
        let nest = Nest::new("site");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let data = nest.directory().join("data").display().to_string();
        let usual = [
            ("RINGBACK__BROKER__DATA_DIR", &*data),
            ("RINGBACK__INGRESS__LISTEN", &*address.to_string()),
            ("RINGBACK__RETRY__SCHEDULE", "1s,1s,2s"),
            ("RINGBACK__GUARD__ALLOW", "127.0.0.0/8"),
        ];
        let all = usual.iter().chain(variables);
        let environment = all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self {
            address,
            process: None,
            environment: environment.collect(),
            client: http::client(),
            nest,
        }
    }

    /// The same, started and ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let mut site = Self::new(variables);
        site.begin();
        site.ready().await;
        site
    }

    /// The data directory.
    pub fn directory(&self) -> PathBuf {
        self.nest.directory().join("data")
    }

    /// The variables that its process is given.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Starts the process, and does not wait for it.
    pub fn begin(&mut self) {
        self.process = Some(Process::ringback(&["serve"], &self.environment));
    }

    /// Starts the process in a mount namespace of its own, with a memory file system of so many
    /// MiB on its data directory, and waits until it is ready. The answer is that directory as it
    /// is seen from here, while the process runs.
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
        eventually("the site to be ready", READY, async || {
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
    /// In words, when there is no whole answer.
    pub async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let words = |error: reqwest::Error| format!("{error:?}");
        let url = format!("http://{}{path}", self.address);
        let response = self.client.get(url).send().await.map_err(words)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(words)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// What the kernel says of the process's memory under this name in `/proc/PID/status`, in bytes.
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

    /// Asks the process to stop, waits for its end, and says how it ended.
    ///
    /// # Panics
    /// When there is none, or it goes on.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a process");
        process.sigterm();
        process.wait_exit(READY).await
    }

    /// Copies the store in `directory` while the process stands still, and gives the place of the
    /// copy: what a crash at this moment would leave. For a directory that SQLite cannot be led to
    /// from here, because it follows `/proc/PID/root` as if it were a usual link.
    ///
    /// # Panics
    /// When there is no process, or a file cannot be copied.
    pub async fn copied(&self, directory: &Path) -> PathBuf {
        let pid = self.process.as_ref().expect("a process").pid();
        signal(pid, "STOP");
        eventually("every thread to stand still", READY, async || {
            still(pid).then_some(())
        })
        .await;
        let copy = self.nest.directory().join("copy");
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).expect("a directory");
        for name in ["queue.db", "queue.db-wal"] {
            fs::copy(directory.join(name), copy.join(name)).expect("a copy");
        }
        signal(pid, "CONT");
        copy
    }

    /// The books of the whole run: what callers were told, what the callee got, and what the store
    /// in `directory` holds.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub fn ledger(&self, directory: &Path, answers: &[Answer], callee: &Callee) -> Ledger {
        let mut ledger = Ledger::default();
        for answer in answers {
            let body = callers::message(answer.token);
            ledger.sent(answer.token, body.as_bytes(), answer.told.clone());
        }
        for one in callee.book.received() {
            let body = one.body.as_bytes();
            let found = Found {
                token: callers::token(body),
                id: one.id.clone().unwrap_or_default(),
                attempt: one.attempt.unwrap_or_default(),
                body: fingerprint(body),
            };
            ledger.seen(found, one.status == Some(200));
        }
        for (lane, message) in stored(directory) {
            let found = Found {
                token: callers::token(&message.request_message),
                id: message.request_id.to_string(),
                attempt: message.attempt,
                body: fingerprint(&message.request_message),
            };
            if lane == "dead" {
                ledger.dead(found);
            } else {
                ledger.queued(found);
            }
        }
        ledger
    }
}

/// Whether all threads of a process are stopped (proc(5): state `T`).
fn still(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

/// What lies in a store, with its lane; a process may be using it.
///
/// # Panics
/// When it cannot be read, or one of its messages cannot.
pub fn stored(directory: &Path) -> Vec<(String, Message)> {
    let file = directory.join("queue.db");
    let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    connection.busy_timeout(READY).expect("a time-out");
    let mut rows = connection
        .prepare("SELECT lane, body FROM messages ORDER BY number")
        .expect("the table");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
    rows.expect("the messages")
        .map(|row| {
            let (lane, body) = row.expect("a message");
            let message = Message::decode(&body.into()).expect("a readable message");
            (lane, message)
        })
        .collect()
}

/// The ids that callers were promised.
pub fn promised(answers: &[Answer]) -> impl Iterator<Item = &str> {
    answers.iter().filter_map(|answer| match &answer.told {
        Told::Accepted(id) => Some(&**id),
        Told::Refused | Told::Unknown(_) => None,
    })
}
