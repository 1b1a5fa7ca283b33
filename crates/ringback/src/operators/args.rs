//! What can operators say on the command line, and which callbacks do they mean by it?

use clap::{ArgGroup, Args, Subcommand};
use url::Url;
use uuid::Uuid;

use crate::admin::moment;

/// `ringback dead ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// List dead letters, newest first.
    List(List),
    /// Show a dead letter: its time line and its message.
    Show(One),
    /// Bring dead letters back into the queue, with the same ids and all attempts anew.
    ///
    /// Guard, limits and schedule apply as to a new callback. What dies again meanwhile is not
    /// replayed a second time by the same command. Stopped half-way, the same command goes on.
    Replay(Mend),
    /// Put dead letters out of sight for good: they can never be replayed.
    Discard(Mend),
    /// Read the dead-letter queue once through: stale copies go, and what the journal does not
    /// know is recorded. It runs by itself after a replay or discard.
    Sweep(Place),
    /// List who replayed, discarded or withdrew what, and why; newest first.
    Audit(Log),
}

/// `ringback callback ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Callback {
    /// List callbacks, newest first.
    List(ListAny),
    /// Show a callback's time line in plain words, why it waits, and what happens next.
    Show(One),
    /// Withdraw a callback: certain while it waits, otherwise if it comes to wait again.
    Cancel(Cancel),
}

/// Where the operators' API is, and how its answers are shown.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The operators' API; without it, the one at admin.listen. It is shown admin.token.
    #[arg(long, value_name = "URL")]
    pub(crate) admin: Option<Url>,
    /// Print JSON: one object, or one a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which callbacks are meant: every condition must hold.
#[derive(Debug, Default, Args)]
pub(crate) struct Which {
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
    /// Given up for this reason, for instance exhausted or rejected.
    #[arg(long, value_name = "WORD")]
    given_up_for: Option<String>,
    /// Accepted at this moment or later: 2h (ago), or 2026-11-23T22:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before this moment.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// A list of dead letters.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) which: Which,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u64,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// A list of any callbacks.
#[derive(Debug, Args)]
pub(crate) struct ListAny {
    /// With this status: queued, delivering, retrying, delivered, dead, expired or cancelled.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    #[command(flatten)]
    pub(crate) list: List,
}

/// One callback.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its request_id.
    pub(crate) id: Uuid,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// The audit log.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// At most so many entries, up to 1000.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u64,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// One callback to be withdrawn.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Its request_id.
    pub(crate) id: Uuid,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Dead letters to be replayed or discarded.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("meant").multiple(true).required(true).args(
    ["ids", "all", "app", "callee", "target", "message_type", "given_up_for", "since", "until"]))]
pub(crate) struct Mend {
    /// These dead letters, by request_id; or else say which by the conditions below.
    #[arg(value_name = "ID", conflicts_with_all =
        ["all", "app", "callee", "target", "message_type", "given_up_for", "since", "until"])]
    pub(crate) ids: Vec<Uuid>,
    /// All dead letters.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Why, for the audit log.
    #[arg(long, value_name = "WHY", required_unless_present = "dry_run")]
    pub(crate) reason: Option<String>,
    /// Count what is meant, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// So many a second.
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// At most so many, oldest first.
    #[arg(long, value_name = "N", conflicts_with = "ids")]
    pub(crate) limit: Option<u64>,
    /// Do not ask before beginning.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Which {
    /// The conditions as the API's parameters; `now` in Unix ms.
    ///
    /// # Errors
    /// A sentence on a time that cannot be read.
    pub(crate) fn parameters(&self, now: u64) -> Result<Vec<(&'static str, String)>, String> {
        let time = |text: &Option<String>| match text {
            Some(text) => moment_of(text, now).map(|ms| Some(ms.to_string())),
            None => Ok(None),
        };
        let all = [
            ("app_id", self.app.clone()),
            ("callee_no", self.callee.clone()),
            ("target", self.target.clone()),
            ("message_type", self.message_type.clone()),
            ("reason", self.given_up_for.clone()),
            ("since", time(&self.since)?),
            ("until", time(&self.until)?),
        ];
        let said = all
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Ok(said.collect())
    }
}

/// A moment, or a time ago such as `2h`, as Unix ms.
fn moment_of(text: &str, now: u64) -> Result<u64, String> {
    match humantime::parse_duration(text) {
        Ok(ago) => {
            let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
            Ok(now.saturating_sub(ago))
        }
        Err(_) => moment::read(text).map_err(|reason| format!("{reason}; or 2h for 2 hours ago")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        dead: Dead,
    }

    fn mend(line: &str) -> Result<Mend, ErrorKind> {
        let parsed = Line::try_parse_from(line.split_whitespace());
        match parsed.map_err(|error| error.kind())?.dead {
            Dead::Replay(mend) | Dead::Discard(mend) => Ok(mend),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_replay_says_what_and_why() {
        let missing = ErrorKind::MissingRequiredArgument;
        for (line, expected) in [
            ("dead replay", Err(missing)),
            ("dead replay --reason x", Err(missing)),
            ("dead replay --app a", Err(missing)),
            ("dead discard --all", Err(missing)),
            ("dead replay --app a --dry-run", Ok(())),
            ("dead replay --app a --since 2h --reason x --yes", Ok(())),
            ("dead discard --all --reason x", Ok(())),
            (
                "dead replay --all --reason x --rate 0",
                Err(ErrorKind::ValueValidation),
            ),
            ("dead replay 7 --reason x", Err(ErrorKind::ValueValidation)),
            (
                "dead replay 0199e6d2-0000-7000-8000-000000000000 --reason x",
                Ok(()),
            ),
            (
                "dead replay 0199e6d2-0000-7000-8000-000000000000 --app a --reason x",
                Err(ErrorKind::ArgumentConflict),
            ),
        ] {
            assert_eq!(mend(line).map(drop), expected, "{line}");
        }
    }

    #[test]
    fn the_conditions_become_the_parameters_of_the_api() {
        let line = "dead replay --app a --callee c --target https://t.example --type m \
                    --given-up-for exhausted --since 1h --until 2025-11-23T12:13:20Z --dry-run";
        let found = mend(line).unwrap().which.parameters(1_763_903_600_000);
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
        let odd = mend("dead replay --since soon --dry-run").unwrap();
        assert!(odd.which.parameters(0).unwrap_err().contains("2h"));
    }
}
