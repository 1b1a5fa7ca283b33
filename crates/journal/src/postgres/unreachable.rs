//! Why there is no connection, with host and port: the pool alone says that it timed out.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sqlx::Error;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;

/// For one server. A refusal comes at once.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// For so long the reason is not looked for again, however many queries fail.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// Finds out why the servers cannot be used.
#[derive(Debug)]
pub(super) struct Unreachable {
    servers: Vec<Server>,
    /// The last answer, and when it was found. Held while it is looked for.
    last: Mutex<Option<(Instant, Vec<String>)>>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    Tcp(String, u16),
    Socket(PathBuf),
}

impl Server {
    fn of(options: &PgConnectOptions) -> Self {
        let (host, port) = (options.get_host(), options.get_port());
        match options.get_socket() {
            Some(directory) => Self::Socket(directory.join(format!(".s.PGSQL.{port}"))),
            // The URL's brackets of an IPv6 address are kept; the system does not want them.
            None => Self::Tcp(host.trim_matches(['[', ']']).to_owned(), port),
        }
    }

    /// For people.
    fn name(&self) -> String {
        match self {
            Self::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp(host, port) => format!("{host}:{port}"),
            Self::Socket(path) => path.display().to_string(),
        }
    }

    /// Whether something listens there. If so, the pool's own reason is one of two.
    async fn probe(&self) -> String {
        let connecting = async {
            match self {
                Self::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).await.map(drop),
                Self::Socket(path) => UnixStream::connect(path).await.map(drop),
            }
        };
        let name = self.name();
        match tokio::time::timeout(PROBE_TIMEOUT, connecting).await {
            Ok(Ok(())) => format!(
                "{name} accepts connections, but does not answer in time, or all of this process's \
                 connections are in use"
            ),
            Ok(Err(error)) => format!("{} ({name})", words(&error)),
            Err(_) => format!("no answer to TCP in time ({name})"),
        }
    }
}

/// The system's words, without its number where the words say it all.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        _ => error.to_string(),
    }
}

impl Unreachable {
    pub(super) fn new(options: &[PgConnectOptions]) -> Self {
        Self {
            servers: options.iter().map(Server::of).collect(),
            last: Mutex::default(),
        }
    }

    /// A better reason than the error's own text. `None`: the database itself has answered.
    pub(super) async fn reason(&self, error: &Error) -> Option<String> {
        match error {
            Error::Database(_) => None,
            Error::PoolTimedOut => Some(self.probe().await),
            Error::Io(error) => Some(format!("{} ({})", words(error), self.names())),
            other => Some(format!("{other} ({})", self.names())),
        }
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.servers.iter().map(Server::name).collect();
        names.join(", ")
    }

    /// What each server says.
    async fn probe(&self) -> String {
        let mut last = self.last.lock().await;
        let reasons = match last.take() {
            Some((at, reasons)) if at.elapsed() < KNOWN_FOR => (at, reasons),
            _ => {
                let mut reasons = Vec::new();
                for server in &self.servers {
                    reasons.push(server.probe().await);
                }
                (Instant::now(), reasons)
            }
        };
        let sentence = reasons.1.join("; ");
        *last = Some(reasons);
        sentence
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::PostgresJournal;
    use crate::error::JournalError;
    use crate::store::CallbackStore as _;
    use crate::url::JournalUrl;

    async fn reason(url: &str) -> String {
        let journal = PostgresJournal::new(JournalUrl::parse(url).unwrap()).unwrap();
        let error = journal.find(uuid::Uuid::now_v7()).await.unwrap_err();
        assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
        error.reason().to_owned()
    }

    #[tokio::test]
    async fn a_refused_connection_is_named_with_host_and_port() {
        let found = reason("postgres://me:secret@127.0.0.1:1,[::1]:2/db").await;
        let expected = "connection refused (127.0.0.1:1); connection refused ([::1]:2)";
        assert_eq!(found, expected);
        let found = reason("postgres://me:secret@%2Fnowhere/db").await;
        assert_eq!(found, "there is no such socket (/nowhere/.s.PGSQL.5432)");
    }

    #[tokio::test]
    async fn a_server_that_accepts_and_does_not_answer_is_told_from_one_that_is_down() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let found = reason(&format!("postgres://me:secret@{address}/db")).await;
        let expected = format!("{address} accepts connections, but does not answer in time");
        assert!(found.starts_with(&expected), "{found}");
    }
}
