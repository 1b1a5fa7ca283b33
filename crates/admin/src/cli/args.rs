//! The command line of the operators' commands.

use clap::{ArgGroup, Args, Subcommand, value_parser};
use url::Url;

use super::client::Parameter;
use crate::api::request_ids::WrittenId;
use crate::api::timestamp;

/// The operators' commands.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// List, show, replay, discard and reconcile dead letters, over the operators' API.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// List, show, retry, cancel and replay callbacks, over the operators' API.
    #[command(subcommand)]
    Callback(CallbackCommand),
    /// A callee or target is back: attempt all that waits for it now, and let its breaker probe.
    Expedite(ExpediteArgs),
    /// After the broker lost its data: publish what waits again, from the journal.
    ///
    /// Without --yes it only counts. Due times are kept; what was due is due now. What the journal has
    /// no message of cannot be recovered: --json lists it. After an interruption, run it again.
    Recover(RecoverArgs),
    /// Erase personal data: messages, URLs, caller_no, targets' answers and the words about them.
    ///
    /// Ids, app_id, callee_no, message_type, target, times and outcomes stay: they name systems, and counts
    /// depend on them.
    Erase(EraseArgs),
    /// Pause a callee, target, app or message type: its callbacks wait, and nothing is lost.
    ///
    /// Or stop intake or deliveries everywhere.
    Pause(PauseArgs),
    /// Resume what was paused: its callbacks are attempted within minutes, spread out.
    Resume(PauseArgs),
    /// List the pauses in force.
    Pauses(ApiArgs),
    /// List the running processes: version, clock, settings, and what is wrong with them.
    Instances(ApiArgs),
    /// Make every process read its settings file and the files of its secrets again.
    ///
    /// Prints what came of it in each process: exit code 1 if one has refused them, or has not said.
    Reload(ReloadArgs),
    /// List the busiest callees and targets: what they answer, their breaker, what waits for them.
    Targets(BusiestArgs),
    /// List the apps: accepted, refused and limited in the last minute, the busiest first.
    Apps(BusiestArgs),
    /// Show what happened in a time: accepted, delivered, failed, deferred and dead, and how long
    /// attempts took.
    ///
    /// By the journal, so it outlives processes: each minute for journal.rollup_retention. Of all
    /// callbacks, or of one callee, target or app.
    Stats(StatsArgs),
    /// Show attempts as they end, in all processes, until Ctrl-C.
    ///
    /// All processes are asked once a second, so an attempt is shown about a second after its end. It
    /// begins with what ends from now on: `callback list` and `callback show` tell of earlier ones.
    Tail(TailArgs),
    /// List, show, requeue and discard messages that could not be decoded.
    #[command(subcommand)]
    Unreadable(UnreadableCommand),
    /// List who replayed, discarded, cancelled, paused or resumed what, and why; newest first.
    Audit(AuditArgs),
}

/// `ringback dead-letters ...`
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List dead letters, newest first.
    List(DeadLetterListArgs),
    /// Show a dead letter: its timeline, and with --payload its message and what targets answered.
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
    /// Show a callback's timeline, why it waits, and what happens next; with --payload its message and
    /// what targets answered, too.
    Show(CallbackArgs),
    /// Attempt callbacks that wait now. Attempt numbers and the schedule go on.
    ///
    /// What has not failed yet is next in line anyway, and is not touched. After an interruption, run
    /// the same command again.
    RetryNow(CallbackBulkArgs),
    /// Cancel callbacks: at once while they wait, otherwise if their attempt fails.
    Cancel(CallbackBulkArgs),
    /// Replay callbacks that have ended, while the journal has their messages.
    ///
    /// Delivered ones are kept for journal.keep_delivered. With filters, say which: --status delivered.
    Replay(CallbackBulkArgs),
}

/// `ringback unreadable ...`
#[derive(Debug, Subcommand)]
pub enum UnreadableCommand {
    /// List unreadable messages, oldest first, and why they cannot be decoded.
    List(ApiArgs),
    /// Show an unreadable message with the first bytes of its body.
    Show(UnreadableShowArgs),
    /// Put unreadable messages back into the queue, after a version that reads them is running.
    Requeue(UnreadableArgs),
    /// Remove unreadable messages for good.
    Discard(UnreadableArgs),
}

/// One unreadable message.
#[derive(Debug, Args)]
pub struct UnreadableShowArgs {
    /// Its id in the list.
    pub(super) id: String,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// Unreadable messages to requeue or discard.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selection").required(true).args(["ids", "all"]))]
pub struct UnreadableArgs {
    /// These, by their ids in the list.
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// All that are in the queue when the command begins.
    #[arg(long)]
    pub(super) all: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY", required_unless_present = "dry_run")]
    pub(super) reason: Option<String>,
    /// Count them, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) api: ApiArgs,
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
    /// Deferred for this reason, for instance breaker_open or paused.
    #[arg(long, value_name = "REASON")]
    deferred_reason: Option<String>,
    /// The last attempt got this HTTP status.
    #[arg(long, value_name = "STATUS")]
    http_status: Option<String>,
    /// The last attempt ended with this outcome, for instance timeout or tls.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Dead-lettered at this time or later.
    #[arg(long, value_name = "TIME")]
    dead_since: Option<String>,
    /// Dead-lettered before this time.
    #[arg(long, value_name = "TIME")]
    dead_until: Option<String>,
    /// With nothing recorded since this time.
    #[arg(long, value_name = "TIME")]
    updated_before: Option<String>,
}

/// A list of dead letters.
#[derive(Debug, Args)]
pub struct DeadLetterListArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// The maximum number to list.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one)]
    pub(super) limit: u64,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// A list of callbacks.
#[derive(Debug, Args)]
pub struct CallbackListArgs {
    /// With this status: queued, retrying, due (what is due of both), delivered, dead, expired, cancelled
    /// or unaccounted; several are separated by commas.
    #[arg(long, value_name = "STATUS")]
    pub(super) status: Option<String>,
    #[command(flatten)]
    pub(super) list: DeadLetterListArgs,
}

/// One callback.
#[derive(Debug, Args)]
pub struct CallbackArgs {
    /// Its request_id, or at least the first 8 digits of it.
    #[arg(value_parser = request_id)]
    pub(super) id: String,
    /// Show its message and what targets answered, too: it needs the role payload, and each look is
    /// in the audit log.
    #[arg(long)]
    pub(super) payload: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY", requires = "payload")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// The audit log.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The maximum number to list.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one)]
    pub(super) limit: u64,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// The options of [`FilterArgs`], and `--all`.
const FILTERS: [&str; 14] = [
    "all",
    "app",
    "callee",
    "target",
    "message_type",
    "dead_letter_reason",
    "since",
    "until",
    "deferred_reason",
    "http_status",
    "outcome",
    "dead_since",
    "dead_until",
    "updated_before",
];

/// Dead letters to replay or discard.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selection").multiple(true).required(true).arg("ids").args(FILTERS))]
pub struct BulkArgs {
    /// These dead letters, by request_id or at least its first 8 digits; or else select them with the options below.
    #[arg(value_name = "ID", value_parser = request_id, conflicts_with_all = FILTERS)]
    pub(super) ids: Vec<String>,
    /// All dead letters.
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    #[command(flatten)]
    pub(super) step: StepArgs,
}

/// Callbacks to retry now, cancel or replay.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selection").multiple(true).required(true).arg("ids").arg("status").args(FILTERS))]
pub struct CallbackBulkArgs {
    /// These callbacks, by request_id or at least its first 8 digits; or else select them with the options below.
    #[arg(value_name = "ID", value_parser = request_id, conflicts_with_all = FILTERS)]
    pub(super) ids: Vec<String>,
    /// All to which it can be done.
    #[arg(long)]
    pub(super) all: bool,
    /// With this status, or one of several: queued,retrying.
    #[arg(long, value_name = "STATUS", conflicts_with = "ids")]
    pub(super) status: Option<String>,
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    #[command(flatten)]
    pub(super) step: StepArgs,
}

/// A callee or target that is back.
#[derive(Debug, Args)]
pub struct ExpediteArgs {
    /// A registered callee's number, or any URL of a target: https://host:443
    #[arg(value_name = "CALLEE_OR_URL")]
    pub(super) callee_or_url: String,
    #[command(flatten)]
    pub(super) step: StepArgs,
}

/// What is recovered.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Although the queues hold messages: these are stale then.
    #[arg(long)]
    pub(super) force: bool,
    /// Begin a recovery of its own, although one of the last 24 hours could be continued.
    #[arg(long)]
    pub(super) anew: bool,
    #[command(flatten)]
    pub(super) step: StepArgs,
}

/// Whose personal data is erased.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selection").required(true).args(["ids", "app"]))]
pub struct EraseArgs {
    /// Of these callbacks, by request_id or at least its first 8 digits.
    #[arg(value_name = "ID", value_parser = request_id)]
    pub(super) ids: Vec<String>,
    /// Of all callbacks of this app.
    #[arg(long, value_name = "APP_ID")]
    pub(super) app: Option<String>,
    /// Cancel what waits first. Without it, what has not ended is not erased.
    #[arg(long)]
    pub(super) cancel: bool,
    #[command(flatten)]
    pub(super) step: StepArgs,
}

/// How a command works through what it selects.
#[derive(Debug, Args)]
pub(super) struct StepArgs {
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY", required_unless_present = "dry_run")]
    pub(super) reason: Option<String>,
    /// Count what is selected, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How many per second.
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = value_parser!(u32).range(1..=100_000))]
    pub(super) rate: u32,
    /// The maximum number to change, oldest first.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) limit: Option<u64>,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// What to pause or resume: one of these.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("paused").required(true).args(
    ["callee_or_url", "app", "message_type", "intake", "deliveries"]))]
pub struct PauseArgs {
    /// A registered callee's number, or any URL of a target: https://host:443
    #[arg(value_name = "CALLEE_OR_URL")]
    pub(super) callee_or_url: Option<String>,
    /// The callbacks of this app.
    #[arg(long, value_name = "APP_ID")]
    pub(super) app: Option<String>,
    /// The callbacks of this message type.
    #[arg(long = "type", value_name = "MESSAGE_TYPE")]
    pub(super) message_type: Option<String>,
    /// New callbacks: every ingress answers 503. Queries and cancellations go on.
    #[arg(long)]
    pub(super) intake: bool,
    /// Deliveries: no dispatcher begins an attempt, and what waits stays in the queues.
    #[arg(long)]
    pub(super) deliveries: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// `ringback reload`
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// `ringback tail`
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Of this app.
    #[arg(long, value_name = "APP_ID")]
    pub(super) app: Option<String>,
    /// For this callee.
    #[arg(long, value_name = "CALLEE_NO")]
    pub(super) callee: Option<String>,
    /// For the target of this URL: its scheme, host and port.
    #[arg(long, value_name = "URL")]
    pub(super) target: Option<String>,
    /// Of this message type.
    #[arg(long = "type", value_name = "MESSAGE_TYPE")]
    pub(super) message_type: Option<String>,
    /// With this outcome, for instance timeout or answered_5xx.
    #[arg(long, value_name = "OUTCOME")]
    pub(super) outcome: Option<String>,
    /// Those alone that did not deliver.
    #[arg(long)]
    pub(super) failed: bool,
    /// End after so many attempts.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) limit: Option<u64>,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// A list of the busiest.
#[derive(Debug, Args)]
pub struct BusiestArgs {
    /// The maximum number to list, busiest first.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    pub(super) limit: u64,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

/// Whose figures are shown, and of which time.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("subject").args(["callee", "target", "app"]))]
pub struct StatsArgs {
    /// Of this registered callee, by its number.
    #[arg(long, value_name = "CALLEE_NO")]
    callee: Option<String>,
    /// Of callers' URLs of this target, by any URL of it: its scheme, host and port.
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// Of this app.
    #[arg(long, value_name = "APP_ID")]
    app: Option<String>,
    /// From this time on: 2h (ago), or 2026-11-23T22:00:00Z. By default the last 24 hours.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Whole minutes that are added up: 1m, 15m, 1h. By default what suits the time.
    #[arg(long, value_name = "DURATION")]
    step: Option<String>,
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

impl StatsArgs {
    /// The parameters of the API; `now` in Unix ms.
    ///
    /// # Errors
    /// When a time cannot be parsed, in one sentence.
    pub(super) fn parameters(&self, now: u64) -> Result<Vec<Parameter>, String> {
        let time = |text: &Option<String>| match text {
            Some(text) => parse_time(text, now).map(|ms| Some(ms.to_string())),
            None => Ok(None),
        };
        let all = [
            ("callee", self.callee.clone()),
            ("target", self.target.clone()),
            ("app", self.app.clone()),
            ("from", time(&self.since)?),
            ("to", time(&self.until)?),
            ("step", self.step.clone()),
        ];
        let given = all
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Ok(given.collect())
    }
}

impl FilterArgs {
    /// Whether it selects all.
    pub(super) fn is_empty(&self) -> bool {
        self.parameters(0).is_ok_and(|all| all.is_empty())
    }

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
            ("deferred_reason", self.deferred_reason.clone()),
            ("http_status", self.http_status.clone()),
            ("outcome", self.outcome.clone()),
            ("dead_since", time(&self.dead_since)?),
            ("dead_until", time(&self.dead_until)?),
            ("updated_before", time(&self.updated_before)?),
        ];
        let given = all
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Ok(given.collect())
    }
}

/// An id as it is written: whole, or at least its first digits. The API is asked for the rest.
fn request_id(text: &str) -> Result<String, String> {
    WrittenId::parse(text)
        .map(|_| text.to_owned())
        .map_err(|sentence| sentence.to_string())
}

/// A limit: none would show nothing.
fn at_least_one(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it is not a number from 1 on".to_owned())
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
            "dead-letters show 0199e6d2",
            "callback cancel 0199e6d2-0000-7 --reason x",
            &format!("dead-letters show {id}"),
            "dead-letters reconcile",
            "callback list --status dead",
            &format!("callback show {id} --admin http://h:1"),
            &format!("callback show {id} --payload --reason x"),
            &format!("callback cancel {id} --reason x"),
            "callback cancel --app a --status queued,retrying --reason x --yes",
            &format!("callback retry-now {id} {id} --reason x"),
            "callback retry-now --http-status 503 --deferred-reason breaker_open --dry-run",
            "callback replay --status delivered --since 2h --reason x",
            "dead-letters replay --dead-since 2h --dead-until 1h --dry-run",
            "expedite EO001 --reason x --rate 50",
            "recover --dry-run --json",
            "recover --reason x --force --anew --yes",
            "erase --app a --cancel --reason x --yes",
            &format!("erase {id} --reason x"),
            "pause EO001 --reason x",
            "resume https://h --reason x",
            "pause --app crm --reason x",
            "resume --type order.paid --reason x",
            "pause --intake --reason x",
            "pause --deliveries --reason x",
            "unreadable list",
            "unreadable show 0123456789abcdef",
            "unreadable requeue 0123456789abcdef 0123456789abcde0 --reason x",
            "unreadable discard --all --reason x --yes",
            "unreadable discard --all --dry-run",
            "pauses",
            "instances --json",
            "reload --reason x",
            "targets --limit 3",
            "apps",
            "audit --limit 7",
            "tail --app a --callee c --target https://h --type t --outcome timeout --failed --json",
            "tail --limit 3",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in [
            "audit --limit 0",
            "callback list --limit 0",
            "callback retry-now --app a --limit 0 --reason x",
            "callback show 0199e6d",
            "callback retry-now --reason x",
            "callback retry-now --all",
            &format!("callback retry-now {id} --status queued --reason x"),
            "erase --reason x",
            "reload",
            "recover",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("targets --limit 0").is_err());
        for line in [
            "pause --reason x",
            "pause EO001 --app crm --reason x",
            "pause --intake --deliveries --reason x",
            "unreadable requeue --reason x",
            "unreadable requeue 0123456789abcdef --all --reason x",
            "unreadable discard --all",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_wrong_id_or_limit_is_answered_in_a_sentence_of_our_own() {
        for (line, sentence) in [
            (
                "callback show 0199e6d2-zz",
                "\"0199e6d2-zz\" is not a request_id: write one as 01a20a25-46b9-7361-a013-9bc3295ebef1",
            ),
            ("erase 7 --reason x", "\"7\" is not a request_id"),
            ("callback list --limit 0", "it is not a number from 1 on"),
            ("targets --limit many", "it is not a number from 1 on"),
        ] {
            let words = ["ringback"].into_iter().chain(line.split_whitespace());
            let error = CommandLine::try_parse_from(words).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
            assert!(!error.contains("group count"), "{error}");
        }
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
