//! The command line: one file per command.
//!
//! - Roles: `ingress.rs`, `dispatcher.rs`, `recorder.rs`, `admin.rs`, `serve.rs`; `start_log.rs`:
//!   what they log
//! - Setup and checks: `init/` (a first settings file), `config.rs`, `key.rs`, `schedule.rs`, `guard.rs`, `topology.rs`, `migrate.rs`,
//!   `health.rs`, `doctor.rs`
//! - `openapi.rs`: the OpenAPI documents. `probe.rs`: grades a callee.
//! - `completion.rs`: completion scripts and manual pages
//! - Backup of the embedded store: `backup.rs`, `restore.rs`
//! - Practice: `callee.rs`; `listen.rs`: forwards callbacks to a developer's process; `send/`: one callback from the shell
//!
//! `ringback dev` is in `dev/`, and the operators' commands are in the crate `admin`.

mod admin;
mod backup;
mod callee;
mod completion;
mod config;
mod dispatcher;
mod doctor;
mod guard;
mod health;
mod ingress;
mod init;
mod key;
mod listen;
mod migrate;
mod openapi;
mod probe;
mod recorder;
mod restore;
mod schedule;
mod send;
mod serve;
mod start_log;
mod topology;

use std::future::Future;
use std::path::PathBuf;

use ::admin::cli::AdminCommand;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use runtime::config::{Source, environment};
use runtime::telemetry::LogConfig;
use runtime::{Loaded, telemetry};
use tokio::runtime::Builder;
use url::Url;

use crate::app::log_identity;
use crate::app::settings::Settings;
use crate::dev;
use crate::error::CommandError;

/// Names the settings file if `--config` does not.
const CONFIG_VARIABLE: &str = "RINGBACK_CONFIG";

/// A callback gateway: accepts callbacks over HTTP, queues them durably, and delivers them.
///
/// Settings come from defaults, then the TOML file, then variables named
/// RINGBACK__SECTION__KEY, for instance RINGBACK__BROKER__URL. `ringback config` shows them.
#[derive(Debug, Parser)]
#[command(name = "ringback", version)]
pub struct Cli {
    /// The settings file (TOML); without it, the one that RINGBACK_CONFIG names.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The time zone of the operators' commands: Asia/Shanghai, +08:00 or UTC; without it, that of TZ
    /// or of this machine. JSON is always UTC.
    #[arg(long, global = true, value_name = "ZONE")]
    tz: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Accept callbacks: POST /api/callback on ingress.listen. Needs broker.url.
    Ingress,
    /// Deliver queued callbacks; health on dispatcher.listen, metrics on metrics.listen.
    ///
    /// Needs broker.url. Run any number of them.
    Dispatcher,
    /// Write records into the journal, and nothing else; health on dispatcher.listen.
    ///
    /// Needs broker.url and journal.url. Every dispatcher does this too: run it where the journal
    /// must keep up while no dispatcher runs.
    Recorder,
    /// Serve the operators' API on admin.listen, without a dispatcher; health on dispatcher.listen.
    ///
    /// Needs broker.url, and journal.url for most of it. Every dispatcher, serve and dev serve the same
    /// API, with the same answers. Any number.
    #[command(name = "admin")]
    AdminRole,
    /// Create or upgrade the journal's tables, and exit. Needs journal.url.
    ///
    /// Every role does this at its start. Use it to do so earlier, or as another database user.
    Migrate,
    /// Run ingress and dispatcher in one process, on the embedded store in broker.data_dir.
    ///
    /// Needs no RabbitMQ. Only one process can use a directory. Health is on ingress.listen, metrics
    /// are on metrics.listen.
    Serve,
    /// Try it out: ingress, dispatcher and a practice callee in one process.
    ///
    /// Queue and journal are an embedded store in a temporary directory, unless --data-dir,
    /// broker.url or journal.url names another location. The address guard (SSRF guard) also allows
    /// the practice callee. Health is on the ingress port, metrics are on metrics.listen.
    Dev(dev::DevArgs),
    /// Serve the practice callee alone: a target that does what its path says.
    ///
    /// POST to /ok, /status/503, /flaky/2, /slow/3000, /hang, /retry-after/2, /redirect/ok or
    /// /reset; GET /received lists what it has received.
    Callee(callee::CalleeArgs),
    /// Receive callbacks, forward each to a process of yours, and show it: webhook-id, type, signature
    /// and answer.
    ///
    /// A message is replayed by its number and Enter; on a terminal by a key: r is the last one, a digit
    /// the last whose number ends with it, q quits.
    Listen(listen::ListenArgs),
    /// Grade a callee before it goes live: it is sent practice messages, and each finding is one line.
    ///
    /// A repeat, a forged signature, an old one, a large body, a slow one, an unknown type, keep-alive and
    /// TLS; and what would follow from a 500, a 429 and a time-out. Exit code 1 if it is not ready.
    Probe(Box<probe::ProbeArgs>),
    #[command(flatten)]
    Admin(Box<AdminCommand>),
    /// Send one callback through the running gateway, as a caller does, and show what became of it.
    ///
    /// Exit code 0 if it is delivered, 1 if it is refused, given up, or not delivered in time. For
    /// instance: ringback send http://127.0.0.1:5107/ok --message '{"n":1}'
    Send(Box<send::SendArgs>),
    /// Write a settings file to begin with: all keys explained, and a first app with fresh secrets.
    ///
    /// `ringback serve` starts with it as it is; with --broker-url, the roles do. An existing file is
    /// never overwritten.
    Init(init::InitArgs),
    /// Generate a key or a signing secret, and print it with the settings that accept it.
    ///
    /// It is not stored: the output is the only copy.
    Key(key::KeyArgs),
    /// Check whether a URL or a callee may be called, and by which rule: exit code 1 if not.
    ///
    /// Its name is resolved as for an attempt; nothing is called.
    Guard(guard::GuardArgs),
    /// Check the settings and print the effective ones, secrets masked. Connects to nothing.
    ///
    /// It fails where a start would: it reads every file that the settings name, builds the clients,
    /// and with broker.data_dir checks what `serve` needs.
    Config,
    /// Check whether all is well: one line for each check, exit code 1 if one has failed.
    ///
    /// A running process is asked over the operators' API, and RabbitMQ's nodes over their management
    /// API. Each line says what is so, and what to do next.
    Doctor(::admin::cli::doctor::DoctorArgs),
    /// Back up the embedded store in broker.data_dir, while `serve` runs or not.
    ///
    /// Queue and journal are copied as they are at one moment, and checked. The copy is written into a
    /// new or empty directory, with a manifest of sizes and checksums.
    Backup(backup::BackupArgs),
    /// Restore a backup into an empty data directory, for `serve` to start on.
    ///
    /// The backup is verified first. What was accepted since it was made is not in it; what was
    /// delivered since is delivered again, with the same webhook-id.
    Restore(restore::RestoreArgs),
    /// Print when failed attempts are retried.
    Schedule,
    /// Print the RabbitMQ topology as definitions.json, or compare a broker with it.
    Topology(topology::TopologyArgs),
    /// Check a health page: exit code 0 for a 2xx answer within 3 s, else 1.
    Health {
        /// For instance http://127.0.0.1:5106/readyz
        url: Url,
    },
    /// Print the OpenAPI 3.1 document of the callers' or the operators' API.
    ///
    /// A running process serves it at /openapi.json.
    Openapi(openapi::OpenApiArgs),
    /// Print the completion script of a shell.
    ///
    /// For instance: ringback completion bash > /etc/bash_completion.d/ringback
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Write a manual page for every command into a directory, such as /usr/local/share/man/man1.
    Man {
        /// The directory; it is created if it is missing.
        directory: PathBuf,
    },
}

impl Cli {
    /// Runs the command until it is done or stopped.
    ///
    /// # Errors
    /// One sentence for people.
    pub fn run(self) -> Result<(), CommandError> {
        match &self.command {
            // Runs without settings: the health check of a container must not depend on them.
            Command::Health { url } => return run_short(health::run(url)),
            Command::Completion { shell } => {
                return completion::completion(*shell, Self::command());
            }
            Command::Openapi(args) => return openapi::run(args),
            Command::Man { directory } => return completion::man(directory, Self::command()),
            // Runs without settings: it makes the first ones.
            Command::Init(args) => return init::run(args),
            _ => {}
        }
        let loaded = load(self.config)?;
        let settings = &loaded.settings;
        match self.command {
            Command::Ingress => run_role(&settings.log, ingress::run(&loaded)),
            Command::Dispatcher => run_role(&settings.log, dispatcher::run(&loaded)),
            Command::Recorder => run_role(&settings.log, recorder::run(&loaded)),
            Command::AdminRole => run_role(&settings.log, admin::run(&loaded)),
            Command::Serve => run_role(&settings.log, serve::run(&loaded)),
            Command::Callee(args) => run_role(&settings.log, callee::run(args)),
            Command::Listen(args) => run_role(&settings.log, listen::run(args)),
            Command::Probe(args) => run_short(probe::run(*args, settings)),
            Command::Dev(args) => {
                let lines = dev::event_lines(args.verbose);
                let log = dev::log_config(&settings.log);
                telemetry::init_for_people(&log, log_identity(), lines)?;
                run_long(dev::run(loaded, args))
            }
            Command::Migrate => run_short(migrate::run(settings)),
            Command::Admin(command) => {
                ::admin::cli::set_time_zone(self.tz.as_deref())?;
                run_short(::admin::cli::run(*command, &settings.admin))
            }
            Command::Doctor(args) => {
                ::admin::cli::set_time_zone(self.tz.as_deref())?;
                run_short(doctor::run(args, settings))
            }
            Command::Send(args) => {
                ::admin::cli::set_time_zone(self.tz.as_deref())?;
                run_short(send::run(&args, settings))
            }
            Command::Key(args) => key::run(&args),
            Command::Guard(args) => run_short(guard::run(args, settings)),
            Command::Backup(args) => backup::run(&args, settings),
            Command::Restore(args) => restore::run(&args, settings),
            Command::Config => run_short(config::run(&loaded)),
            Command::Schedule => schedule::run(settings),
            Command::Topology(args) => run_short(topology::run(args, settings)),
            // Run above.
            Command::Health { .. }
            | Command::Completion { .. }
            | Command::Openapi(_)
            | Command::Man { .. }
            | Command::Init(_) => Ok(()),
        }
    }
}

fn load(config: Option<PathBuf>) -> Result<Loaded<Settings>, CommandError> {
    let from_variable = || {
        let file = std::env::var_os(CONFIG_VARIABLE)?;
        // Docker Compose passes an unset variable as an empty one.
        (!file.is_empty()).then(|| PathBuf::from(file))
    };
    let file = config.or_else(from_variable);
    Ok(Source::new(file, environment()).load()?)
}

/// Starts logging, then runs a role until it is stopped.
fn run_role<E>(
    log: &LogConfig,
    role: impl Future<Output = Result<(), E>>,
) -> Result<(), CommandError>
where
    CommandError: From<E>,
{
    telemetry::init(log, log_identity())?;
    run_long(role)
}

/// Runs a role until it is stopped, on all cores.
fn run_long<E>(task: impl Future<Output = Result<(), E>>) -> Result<(), CommandError>
where
    CommandError: From<E>,
{
    run_on(Builder::new_multi_thread(), task)
}

/// Runs a short command.
fn run_short<E>(task: impl Future<Output = Result<(), E>>) -> Result<(), CommandError>
where
    CommandError: From<E>,
{
    run_on(Builder::new_current_thread(), task)
}

fn run_on<E>(
    mut builder: Builder,
    task: impl Future<Output = Result<(), E>>,
) -> Result<(), CommandError>
where
    CommandError: From<E>,
{
    // Never dropped: the process ends right after. Dropping it while it connects to the broker (after
    // a port in use, say) makes lapin's own thread panic, in addition to our error.
    let runtime = Box::leak(Box::new(builder.enable_all().build()?));
    Ok(runtime.block_on(task)?)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_command_line_is_consistent_and_every_command_and_option_has_help() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let named = (command.get_name(), argument.get_id());
                assert!(argument.get_help().is_some(), "{named:?}");
            }
        }
    }

    #[test]
    fn dev_listens_on_loopback_by_default() {
        let Command::Dev(args) = parse("ringback dev").unwrap().command else {
            panic!("another command");
        };
        assert_eq!(args.listen, address("127.0.0.1:5106"));
        assert_eq!(args.callee_listen, address("127.0.0.1:5107"));
        let chosen = parse("ringback dev --listen [::1]:0 --callee-listen 0.0.0.0:9").unwrap();
        let Command::Dev(args) = chosen.command else {
            panic!("another command");
        };
        assert_eq!(args.listen, address("[::1]:0"));
        assert_eq!(args.callee_listen, address("0.0.0.0:9"));
    }

    #[test]
    fn the_settings_file_may_be_named_before_or_after_the_command() {
        for line in [
            "ringback --config a.toml ingress",
            "ringback ingress --config a.toml",
        ] {
            assert_eq!(parse(line).unwrap().config, Some(PathBuf::from("a.toml")));
        }
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_error() {
        let missing = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        for (line, kind) in [
            ("ringback", missing),
            ("ringback server", ErrorKind::InvalidSubcommand),
            (
                "ringback ingress --listen 127.0.0.1:1",
                ErrorKind::UnknownArgument,
            ),
            (
                "ringback dev --listen localhost",
                ErrorKind::ValueValidation,
            ),
            ("ringback health", ErrorKind::MissingRequiredArgument),
            ("ringback health readyz", ErrorKind::ValueValidation),
            (
                "ringback topology --management http://h:15672",
                ErrorKind::MissingRequiredArgument,
            ),
        ] {
            assert_eq!(parse(line).map(drop), Err(kind), "{line}");
        }
    }
}
