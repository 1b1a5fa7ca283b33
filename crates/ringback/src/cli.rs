//! What can the binary be asked to do?

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;

use boot::Loaded;
use boot::settings::{self, Source};
use boot::telemetry;
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Builder;
use url::Url;

use crate::equipment::Equipment;
use crate::failure::Failure;
use crate::operators::{self, Callback, Dead, Place, Where, Whom};
use crate::say::say;
use crate::{ask, dev, equipment, guard, key, role, schedule, topology};

/// Names the settings file where `--config` does not.
const CONFIG_VARIABLE: &str = "RINGBACK_CONFIG";

/// A callback gateway: takes callbacks over HTTP, queues them durably, and delivers them.
///
/// Settings come from defaults, then the TOML file, then variables named
/// RINGBACK__SECTION__KEY, for instance RINGBACK__BROKER__URL. `ringback config` shows them.
#[derive(Debug, Parser)]
#[command(name = "ringback", version)]
pub struct Cli {
    /// The settings file (TOML); without it, the one that RINGBACK_CONFIG names.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the door in: POST /api/callback on ingress.listen. Needs broker.url.
    Ingress,
    /// Serve the door out: deliver what is queued; health and metrics on dispatcher.listen.
    ///
    /// Needs broker.url. Run any number of them.
    Dispatcher,
    /// Write what happened into the journal, and nothing else; health and metrics on
    /// dispatcher.listen.
    ///
    /// Needs broker.url and journal.url. Every dispatcher does this too: run it where the journal
    /// must keep up while no dispatcher runs.
    Recorder,
    /// Make the journal's tables as this version needs them, and end. Needs journal.url.
    ///
    /// Every role does so at its start. This is for who wants it done before, or with another user.
    Migrate,
    /// Serve both doors in one process, on the embedded store in broker.data_dir.
    ///
    /// Needs nothing else: no RabbitMQ. One process at a time on a directory. Health and metrics
    /// of both doors are on the door in.
    Serve,
    /// Try it out: both doors and a practice callee in one process.
    ///
    /// Queue and journal are an embedded store in a temporary directory, unless --data-dir,
    /// broker.url or journal.url names another place. The address guard opens the practice callee beside what guard.allow opens. Health and
    /// metrics of both doors are on the door in.
    Dev(Dev),
    /// Serve the practice callee alone: a target that does what its path says.
    ///
    /// POST to /ok, /status/503, /flaky/2, /slow/3000, /hang, /retry-after/2, /redirect/ok or
    /// /reset; GET /received lists what came in.
    Callee {
        /// Where it listens.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5107")]
        listen: SocketAddr,
    },
    /// List, show, replay and discard dead letters, over the operators' API.
    #[command(subcommand)]
    Dead(Dead),
    /// List, show and withdraw callbacks, over the operators' API.
    #[command(subcommand)]
    Callback(Callback),
    /// Make a key or a signing secret, and print it with the settings that let it in.
    ///
    /// Nothing is kept of it: what is printed is the only copy.
    Key(key::Asked),
    /// Leave a callee or a target alone: its callbacks wait, nothing is lost.
    Pause(Whom),
    /// End a pause: what waits for it comes back within minutes, spread out.
    Resume(Whom),
    /// List the pauses in force.
    Pauses(Place),
    /// Show how a dispatcher's busiest callees and targets are doing.
    Targets(Where),
    /// Say whether a URL or a callee would be called, and by which rule: exit code 1 if not.
    ///
    /// Its name is resolved as an attempt would resolve it; nothing is called.
    Guard(guard::Asked),
    /// Check the settings and print the effective ones, secrets masked. Contacts nobody.
    Config,
    /// Print when failed attempts are made again.
    Schedule,
    /// Print the RabbitMQ topology as definitions.json, or compare a broker with it.
    Topology(Topology),
    /// Ask a health page: exit code 0 for a 2xx answer within 3 s, else 1.
    Health {
        /// For instance http://127.0.0.1:5106/readyz
        url: Url,
    },
}

#[derive(Debug, Args)]
struct Dev {
    /// Where the door in listens, whatever ingress.listen says.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5106")]
    listen: SocketAddr,
    /// Where the practice callee listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5107")]
    callee_listen: SocketAddr,
    /// Where the embedded store and the journal lie; they are kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Send three callbacks at once, with a short schedule, to see the three fates.
    #[arg(long)]
    demo: bool,
}

#[derive(Debug, Args)]
struct Topology {
    /// The virtual host; without it, the one in broker.url, or else "/".
    #[arg(long)]
    vhost: Option<String>,
    /// Compare a running broker through its management API: exit code 0 if all is as it should be.
    #[arg(long)]
    check: bool,
    /// The management API, for instance http://guest:guest@127.0.0.1:15672. Without it, host,
    /// user and password of broker.url, on port 15672 (amqps: https on port 15671).
    #[arg(long, value_name = "URL", requires = "check")]
    management: Option<Url>,
}

impl Cli {
    /// Does what was asked for; returns when it is done, or has been stopped.
    ///
    /// # Errors
    /// [`Failure`]: one sentence for people.
    pub fn run(self) -> Result<(), Failure> {
        if let Command::Health { url } = &self.command {
            // First, and without settings: a container's health must not hang on them.
            return soon(ask::health(url));
        }
        let loaded = load(self.config)?;
        let settings = &loaded.settings;
        match self.command {
            Command::Ingress => {
                telemetry::init(&settings.log, false)?;
                serve(role::ingress(&loaded))
            }
            Command::Dispatcher => {
                telemetry::init(&settings.log, false)?;
                serve(role::dispatcher(&loaded))
            }
            Command::Recorder => {
                telemetry::init(&settings.log, false)?;
                serve(role::recorder(&loaded))
            }
            Command::Migrate => soon(role::migrate(settings)),
            Command::Serve => {
                telemetry::init(&settings.log, false)?;
                serve(role::serve(&loaded))
            }
            Command::Dev(asked) => {
                telemetry::init(&dev::log(&settings.log), true)?;
                let Dev {
                    listen,
                    callee_listen,
                    data_dir,
                    demo,
                } = asked;
                serve(dev::run(
                    loaded,
                    dev::Asked {
                        listen,
                        callee_listen,
                        data_dir,
                        demo,
                    },
                ))
            }
            Command::Callee { listen } => {
                telemetry::init(&settings.log, false)?;
                serve(role::callee(listen))
            }
            Command::Dead(asked) => soon(operators::dead(asked, settings)),
            Command::Callback(asked) => soon(operators::callback(asked, settings)),
            Command::Pause(asked) => soon(operators::pause(asked, settings)),
            Command::Resume(asked) => soon(operators::resume(asked, settings)),
            Command::Pauses(place) => soon(operators::pauses(place, settings)),
            Command::Targets(asked) => soon(operators::targets(asked, settings)),
            Command::Key(asked) => Ok(say(&key::new(&asked.name, asked.kind())?)?),
            Command::Guard(asked) => soon(guard::explain(asked, settings)),
            Command::Config => {
                Equipment::check(settings)?;
                if settings.auth.mode.is_some() {
                    equipment::callers(settings, "config")?;
                }
                if settings.broker.url.is_some() {
                    equipment::broker(&settings.broker, "config")?;
                }
                Ok(say(settings.to_toml_redacted().trim_end())?)
            }
            Command::Schedule => {
                let schedule = equipment::schedule(settings)?;
                Ok(say(&schedule::table(&schedule))?)
            }
            Command::Topology(asked) if asked.check => {
                let place = topology::Place::find(asked.vhost, asked.management, settings)?;
                soon(topology::check(&settings.broker.prefix, &place))
            }
            Command::Topology(asked) => {
                let vhost = asked
                    .vhost
                    .unwrap_or_else(|| topology::vhost_of(&settings.broker));
                Ok(say(&topology::definitions(
                    &settings.broker.prefix,
                    &vhost,
                ))?)
            }
            Command::Health { .. } => Ok(()), // Answered above.
        }
    }
}

fn load(config: Option<PathBuf>) -> Result<Loaded, Failure> {
    let named = || {
        let file = std::env::var_os(CONFIG_VARIABLE)?;
        // Compose hands on an unset variable as an empty one.
        (!file.is_empty()).then(|| PathBuf::from(file))
    };
    let file = config.or_else(named);
    Ok(Source::new(file, settings::environment()).load()?)
}

/// Runs what serves until it is stopped, on all cores.
fn serve(role: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    run_on(Builder::new_multi_thread(), role)
}

/// Runs what asks a question and ends.
fn soon(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    run_on(Builder::new_current_thread(), command)
}

fn run_on(
    mut builder: Builder,
    task: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    // Never dropped: the process ends right after. Dropping it in the middle of connecting to the
    // broker (a port is taken, say) makes lapin's own thread panic, beside our one sentence.
    let runtime = Box::leak(Box::new(builder.enable_all().build()?));
    runtime.block_on(task)
}

#[cfg(test)]
mod tests {
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
    fn the_command_line_is_sound_and_every_command_and_option_has_help() {
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
    fn dev_listens_on_loopback_unless_told() {
        let Command::Dev(asked) = parse("ringback dev").unwrap().command else {
            panic!("another command");
        };
        assert_eq!(asked.listen, address("127.0.0.1:5106"));
        assert_eq!(asked.callee_listen, address("127.0.0.1:5107"));
        let told = parse("ringback dev --listen [::1]:0 --callee-listen 0.0.0.0:9").unwrap();
        let Command::Dev(asked) = told.command else {
            panic!("another command");
        };
        assert_eq!(asked.listen, address("[::1]:0"));
        assert_eq!(asked.callee_listen, address("0.0.0.0:9"));
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
    fn what_makes_no_sense_is_a_usage_error() {
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
