//! A private PostgreSQL server.

mod install;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::sync::OnceCell;

use crate::cleanup::{self, ChildGroup, TempDirectory};
use crate::eventually;
use crate::ports::free_port;
use crate::tls_certs::Certificate;

use install::Install;

/// A server starts in about a second on an idle machine; after a kill it recovers from its log
/// first.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A private PostgreSQL server: its own port on 127.0.0.1 and its own directory. Every connection
/// is trusted as `postgres`, every commit is synced. It may be stopped or killed and started again
/// with the same data and port. Removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    install: Install,
    port: u16,
    settings: Vec<String>,
    databases: AtomicU32,
    server: Mutex<Option<ChildGroup>>,
    temp: TempDirectory,
}

impl Postgres {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with these additional settings (`name=value`).
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub async fn start_with(settings: &[&str]) -> Self {
        Self::start_server(settings, None).await
    }

    /// A server with this certificate that accepts connections with and without TLS.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub async fn start_with_tls(certificate: &Certificate) -> Self {
        Self::start_server(&["ssl=on"], Some(certificate)).await
    }

    /// A standby of this server, which follows it until it is promoted.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub async fn standby(&self) -> Self {
        let standby = Self::new(&[]);
        standby.make_directory();
        let mut command = standby.install.command("pg_basebackup");
        let port = self.port.to_string();
        command
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
            .args([
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
                "-D",
            ])
            .arg(standby.data())
            .current_dir(standby.temp.path());
        run(command).await;
        standby.restart().await;
        standby
    }

    /// Waits until this standby has replayed what its primary has written.
    ///
    /// # Panics
    /// When one of them does not answer.
    pub async fn has_replayed(&self, primary: &Self) {
        let mut writing = primary
            .connect("postgres")
            .await
            .expect("the primary is up");
        let written: String = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text")
            .fetch_one(&mut writing)
            .await
            .expect("a position");
        eventually("the standby to follow", START_TIMEOUT, async || {
            let mut following = self.connect("postgres").await?;
            let behind: bool =
                sqlx::query_scalar("SELECT pg_last_wal_replay_lsn() < $1::text::pg_lsn")
                    .bind(&written)
                    .fetch_one(&mut following)
                    .await
                    .map_err(|error| error.to_string())?;
            if behind { Err(written.clone()) } else { Ok(()) }
        })
        .await;
    }

    /// Makes this standby a primary.
    ///
    /// # Panics
    /// When it is none.
    pub async fn promote(&self) {
        let mut connection = self.connect("postgres").await.expect("the standby is up");
        let promoted: bool = sqlx::query_scalar("SELECT pg_promote(true, 60)")
            .fetch_one(&mut connection)
            .await
            .expect("an answer");
        assert!(promoted, "the standby was not promoted in time");
    }

    fn new(settings: &[&str]) -> Self {
        Self {
            install: Install::find(),
            port: free_port(),
            settings: settings.iter().map(|it| (*it).to_owned()).collect(),
            databases: AtomicU32::new(0),
            server: Mutex::new(None),
            temp: TempDirectory::new("postgres"),
        }
    }

    async fn start_server(settings: &[&str], certificate: Option<&Certificate>) -> Self {
        let postgres = Self::new(settings);
        postgres.make_cluster().await;
        if let Some(certificate) = certificate {
            postgres.install_certificate(certificate);
        }
        postgres.restart().await;
        postgres
    }

    /// The one server that all tests of this binary share, each in a database of its own.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// The address of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The server's directory, where its log is.
    pub fn directory(&self) -> &Path {
        self.temp.path()
    }

    /// The server's processes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pids(&self) -> Vec<u32> {
        let leader = self.server().as_ref().expect("it runs").leader.id();
        let mut pids = children(leader);
        pids.push(leader);
        pids
    }

    /// A new, empty database; returns its address.
    ///
    /// # Panics
    /// When the server does not make it.
    pub async fn database(&self) -> String {
        self.database_with("").await
    }

    /// The same with these options of `CREATE DATABASE`.
    ///
    /// # Panics
    /// As [`Postgres::database`].
    pub async fn database_with(&self, options: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let mut connection = self.connect("postgres").await.expect("the server is up");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name} {options}")))
            .execute(&mut connection)
            .await
            .expect("a new database");
        self.url(&name)
    }

    /// A connection to a database.
    ///
    /// # Errors
    /// As text, when the server does not accept it.
    pub async fn connect(&self, database: &str) -> Result<PgConnection, String> {
        let options: PgConnectOptions = self.url(database).parse().expect("a URL of ours");
        let options = options.disable_statement_logging();
        PgConnection::connect_with(&options)
            .await
            .map_err(|error| error.to_string())
    }

    /// Runs one of PostgreSQL's programs, for instance `pg_dump`, and returns its output.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, program: &str, arguments: &[&str], input: Option<File>) -> Vec<u8> {
        let mut command = self.install.command(program);
        command.args(arguments);
        command.stdin(input.map_or_else(Stdio::null, Stdio::from));
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = run.await.unwrap().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {errors}");
        output.stdout
    }

    /// Stops the server: open transactions are rolled back and connections closed.
    pub async fn stop(&self) {
        let Some(mut server) = self.server().take() else {
            return;
        };
        cleanup::signal(server.leader.id(), "INT"); // Its "fast shutdown".
        eventually("PostgreSQL to stop", START_TIMEOUT, async || {
            self.temp.ended(&mut server)
        })
        .await;
    }

    /// Kills all processes of the server with SIGKILL, like a power failure, and waits until they
    /// are gone.
    pub async fn kill(&self) {
        let Some(mut server) = self.server().take() else {
            return;
        };
        // Stopped, it starts no further process while we look for its children, each of which has a
        // process group of its own.
        let leader = server.leader.id();
        cleanup::signal(leader, "STOP");
        let workers = children(leader);
        self.temp.kill(&mut server);
        for worker in &workers {
            cleanup::signal(*worker, "KILL");
        }
        // These are not our children: they cannot be waited for, only polled.
        eventually("the server's processes to die", START_TIMEOUT, async || {
            let alive = workers.iter().any(|worker| parent(*worker).is_some());
            (!alive).then_some(())
        })
        .await;
    }

    /// Starts the server with the same data and port, after killing it if it runs, and waits until
    /// it accepts connections.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self) {
        self.kill().await;
        let mut command = self.install.command("postgres");
        command.arg("-D").arg(self.data());
        let ours = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            // TCP only: the path of a socket may be too long.
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
            "timezone=UTC".to_owned(),
        ];
        for setting in ours.iter().chain(&self.settings) {
            command.args(["-c", setting]);
        }
        *self.server() = Some(self.temp.start("postgres", &command));
        eventually(
            "PostgreSQL to accept connections",
            START_TIMEOUT,
            async || {
                self.still_runs();
                self.connect("postgres").await.map(drop)
            },
        )
        .await;
    }

    fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// Makes the data directory, for the user that the server runs as.
    fn make_directory(&self) {
        let data = self.data();
        fs::create_dir(&data).expect("a data directory");
        // The user `postgres` must be able to reach its directory, whatever our umask is.
        fs::set_permissions(self.temp.path(), fs::Permissions::from_mode(0o755))
            .expect("a directory of ours");
        if let Some((user, group)) = self.install.owner() {
            chown(&data, Some(user), Some(group)).expect("root gives a directory away");
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("a directory of ours");
    }

    async fn make_cluster(&self) {
        self.make_directory();
        let data = self.data();
        let mut command = self.install.command("initdb");
        command.arg("-D").arg(&data).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync", // This once: what the server writes later is synced.
        ]);
        command.current_dir(self.temp.path());
        run(command).await;
    }

    /// Writes the certificate where the server looks for it. It refuses a key that others can read.
    fn install_certificate(&self, certificate: &Certificate) {
        for path in certificate.write(&self.data(), "server") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
            if let Some((user, group)) = self.install.owner() {
                chown(&path, Some(user), Some(group)).expect("root gives a file away");
            }
        }
    }

    fn still_runs(&self) {
        if let Some(server) = &mut *self.server()
            && let Some(ended) = self.temp.ended(server)
        {
            panic!(
                "postgres ended ({ended}):\n{}",
                cleanup::tail(&server.log, 40)
            );
        }
    }

    fn server(&self) -> MutexGuard<'_, Option<ChildGroup>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server().take() {
            // The other processes end by themselves when their leader is gone.
            self.temp.kill(&mut server);
        }
    }
}

async fn run(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || {
        let output = command.output();
        (command, output)
    });
    let (command, output) = output.await.unwrap();
    let output = output.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{said}{errors}");
}

/// The children of a process, on a system with `/proc`.
fn children(of: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

/// The parent of a process that exists and is not a zombie.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let alive = fields.next()? != "Z";
    fields.next()?.parse().ok().filter(|_| alive)
}

/// Whether this process runs as root.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}
