//! The command line of the operators' commands.

use clap::{ArgGroup, Args, Subcommand, value_parser};
use url::Url;
use uuid::Uuid;

use super::client::Parameter;
use crate::api::timestamp;

/// The operators' commands.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// List, show, replay, discard and reconcile dead letters, over the operators' API.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// List, show and cancel callbacks, over the operators' API.
    #[command(subcommand)]
    Callback(CallbackCommand),
    /// Pause a callee or target: its callbacks wait, and nothing is lost.
    Pause(PauseTarget),
    /// Resume a callee or target: its callbacks are attempted within minutes, spread out.
    Resume(PauseTarget),
    /// List the pauses in force.
    Pauses(ApiArgs),
    /// List a dispatcher's busiest callees and targets, and their state.
    Targets(DispatcherArgs),
    /// List who replayed, discarded, cancelled, paused or resumed what, and why; newest first.
    Audit(AuditArgs),
}

/// `ringback dead-letters ...`
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List dead letters, newest first.
    List(DeadLetterListArgs),
    /// Show a dead letter: its timeline and its message.
    Show(CallbackArgs),
    /// Put dead letters back into the queue, with the same ids and their full number of attempts.
    ///
    /// Guard, limits and schedule apply as to a new callback. A callback that is dead-lettered again
    /// in the meantime is not replayed twice by one command. After an interruption, run it again.
    Replay(BulkArgs),
    /// Discard dead letters for good: they are hidden and can never be replayed.
    Discard(BulkArgs),
    /// Compare the dead-letter queue with the journal: remove stale copies, record what the journal
    /// lacks. It also runs after each replay and discard.
    Reconcile(ApiArgs),
}

/// `ringback callback ...`
#[derive(Debug, Subcommand)]
pub enum CallbackCommand {
    /// List callbacks, newest first.
    List(CallbackListArgs),
    /// Show a callback's timeline, why it waits, and what happens next.
    Show(CallbackArgs),
    /// Cancel a callback: at once while it waits, otherwise if its attempt fails.
    Cancel(CancelArgs),
}

/// Where the operators' API is, and how its answers are shown.
#[derive(Debug, Args)]
pub struct ApiArgs {
    /// The operators' API, by default at admin.listen. admin.token is sent to it.
    #[arg(long, value_name = "URL")]
    pub(super) admin: Option<Url>,
    /// Print JSON: one object, or one per line.
    #[arg(long)]
    pub(super) json: bool,
}

/// Which callbacks are selected: every condition must hold.
#[derive(Debug, Default, Args)]
pub(super) struct FilterArgs {
    /// Of this app.
    #[arg(long, value_name = "APP_ID")]
    app: Option<String>,
    /// For this callee.
    #[arg(long, value_name = "CALLEE_NO")]
    callee: Option<String>,
    /// For the target of this URL: its scheme, host and port.
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// Of this message type.
    #[arg(long = "type", value_name = "MESSAGE_TYPE")]
    message_type: Option<String>,
    /// Dead-lettered for this reason, for instance exhausted or rejected.
    #[arg(long, value_name = "REASON")]
    dead_letter_reason: Option<String>,
    /// Accepted at this time or later: 2h (ago), or 2026-11-23T22:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// A list of dead letters.
#[derive(Debug, Args)]
pub struct DeadLetterListArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// The maximum number to list.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u64).range(1..))]
    pub(super) limit: u64,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// A list of callbacks.
#[derive(Debug, Args)]
pub struct CallbackListArgs {
    /// With this status: queued, delivering, retrying, delivered, dead, expired, cancelled or
    /// unaccounted.
    #[arg(long, value_name = "STATUS")]
    pub(super) status: Option<String>,
    #[command(flatten)]
    pub(super) list: DeadLetterListArgs,
}

/// One callback.
#[derive(Debug, Args)]
pub struct CallbackArgs {
    /// Its request_id.
    pub(super) id: Uuid,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// The audit log.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The maximum number to list.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u64).range(1..))]
    pub(super) limit: u64,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// A callback to cancel.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Its request_id.
    pub(super) id: Uuid,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// Dead letters to replay or discard.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selection").multiple(true).required(true).args(
    ["ids", "all", "app", "callee", "target", "message_type", "dead_letter_reason", "since", "until"]))]
pub struct BulkArgs {
    /// These dead letters, by request_id; or else select them with the options below.
    #[arg(value_name = "ID", conflicts_with_all =
        ["all", "app", "callee", "target", "message_type", "dead_letter_reason", "since", "until"])]
    pub(super) ids: Vec<Uuid>,
    /// All dead letters.
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY", required_unless_present = "dry_run")]
    pub(super) reason: Option<String>,
    /// Count the selected dead letters, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How many per second.
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = value_parser!(u32).range(1..=100_000))]
    pub(super) rate: u32,
    /// The maximum number to change, oldest first.
    #[arg(long, value_name = "N", conflicts_with = "ids")]
    pub(super) limit: Option<u64>,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// A callee or target to pause or resume.
#[derive(Debug, Args)]
pub struct PauseTarget {
    /// A registered callee's number, or any URL of a target: https://host:443
    #[arg(value_name = "CALLEE_OR_URL")]
    pub(super) callee_or_url: String,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// The dispatchers whose targets are listed.
#[derive(Debug, Args)]
pub struct DispatcherArgs {
    /// The operators' API of a dispatcher; repeat it for several.
    #[arg(long, value_name = "URL", conflicts_with = "admin")]
    pub(super) dispatcher: Vec<Url>,
    /// The maximum number to list, busiest first.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u64).range(1..))]
    pub(super) limit: u64,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

impl FilterArgs {
    /// The conditions as parameters of the API; `now` in Unix ms.
    ///
    /// # Errors
    /// When a time cannot be parsed, in one sentence.
    pub(super) fn parameters(&self, now: u64) -> Result<Vec<Parameter>, String> {
        let time = |text: &Option<String>| match text {
            Some(text) => parse_time(text, now).map(|ms| Some(ms.to_string())),
            None => Ok(None),
        };
        let all = [
            ("app_id", self.app.clone()),
            ("callee_no", self.callee.clone()),
            ("target", self.target.clone()),
            ("message_type", self.message_type.clone()),
            ("reason", self.dead_letter_reason.clone()),
            ("since", time(&self.since)?),
            ("until", time(&self.until)?),
        ];
        let given = all
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Ok(given.collect())
    }
}

/// A timestamp, or a duration ago such as `2h`, as Unix ms.
fn parse_time(text: &str, now: u64) -> Result<u64, String> {
    match humantime::parse_duration(text) {
        Ok(ago) => Ok(now.saturating_sub(contract::duration_ms(ago))),
        Err(_) => {
            timestamp::parse(text).map_err(|reason| format!("{reason}; or 2h for 2 hours ago"))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(subcommand)]
        command: AdminCommand,
    }

    fn parse(line: &str) -> Result<AdminCommand, ErrorKind> {
        let words = ["ringback"].into_iter().chain(line.split_whitespace());
        let parsed = CommandLine::try_parse_from(words);
        Ok(parsed.map_err(|error| error.kind())?.command)
    }

    fn bulk(line: &str) -> Result<BulkArgs, ErrorKind> {
        match parse(line)? {
            AdminCommand::DeadLetters(
                DeadLettersCommand::Replay(args) | DeadLettersCommand::Discard(args),
            ) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound_and_every_command_and_option_has_help() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let named = (command.get_name(), argument.get_id());
                assert!(argument.get_help().is_some(), "{named:?}");
            }
            for command in command.get_subcommands() {
                assert!(command.get_about().is_some(), "{}", command.get_name());
                check(command);
            }
        }
        let mut cli = CommandLine::command();
        cli.build();
        cli.clone().debug_assert();
        check(&cli);
    }

    #[test]
    fn every_command_is_found_by_its_words() {
        let id = "0199e6d2-0000-7000-8000-000000000000";
        for line in [
            "dead-letters list --app a --limit 3 --json",
            &format!("dead-letters show {id}"),
            "dead-letters reconcile",
            "callback list --status dead",
            &format!("callback show {id} --admin http://h:1"),
            &format!("callback cancel {id} --reason x"),
            "pause EO001 --reason x",
            "resume https://h --reason x",
            "pauses",
            "targets --dispatcher http://a:1 --dispatcher http://b:1",
            "audit --limit 7",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        assert!(parse("audit --limit 0").is_err());
        assert!(parse("targets --dispatcher http://a:1 --admin http://b:1").is_err());
    }

    #[test]
    fn a_replay_needs_a_selection_and_a_reason() {
        let missing = ErrorKind::MissingRequiredArgument;
        for (line, expected) in [
            ("replay", Err(missing)),
            ("replay --reason x", Err(missing)),
            ("replay --app a", Err(missing)),
            ("discard --all", Err(missing)),
            ("replay --app a --dry-run", Ok(())),
            ("replay --app a --since 2h --reason x --yes", Ok(())),
            ("discard --all --reason x", Ok(())),
            (
                "replay --all --reason x --rate 0",
                Err(ErrorKind::ValueValidation),
            ),
            ("replay 7 --reason x", Err(ErrorKind::ValueValidation)),
            (
                "replay 0199e6d2-0000-7000-8000-000000000000 --reason x",
                Ok(()),
            ),
            (
                "replay 0199e6d2-0000-7000-8000-000000000000 --app a --reason x",
                Err(ErrorKind::ArgumentConflict),
            ),
        ] {
            let found = bulk(&format!("dead-letters {line}"));
            assert_eq!(found.map(drop), expected, "{line}");
        }
    }

    #[test]
    fn the_filters_become_parameters_of_the_api() {
        let line = "dead-letters replay --app a --callee c --target https://t.example --type m \
                    --dead-letter-reason exhausted --since 1h --until 2025-11-23T12:13:20Z \
                    --dry-run";
        let found = bulk(line).unwrap().filter.parameters(1_763_903_600_000);
        let expected = [
            ("app_id", "a"),
            ("callee_no", "c"),
            ("target", "https://t.example"),
            ("message_type", "m"),
            ("reason", "exhausted"),
            ("since", "1763900000000"),
            ("until", "1763900000000"),
        ];
        let expected = expected.map(|(key, value)| (key, value.to_owned()));
        assert_eq!(found, Ok(expected.to_vec()));
        let invalid = bulk("dead-letters replay --since soon --dry-run").unwrap();
        assert!(invalid.filter.parameters(0).unwrap_err().contains("2h"));
    }
}
