//! `ringback dead-letters replay` and `discard`: change many dead letters in small steps, at a steady rate.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use runtime::clock::now_ms;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::args::BulkArgs;
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::stdout::print_line;
use super::user::user_at_host;
use crate::api::query_params::MAX_LIMIT;
use crate::api::view::MatchedView;
use crate::config::AdminConfig;

/// How often a long command reports its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What is done to the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BulkOperation {
    Replay,
    Discard,
}

impl BulkOperation {
    const fn path(self) -> &'static str {
        match self {
            Self::Replay => "/admin/v1/dead-letters/replay",
            Self::Discard => "/admin/v1/dead-letters/discard",
        }
    }

    /// In sentences and in JSON.
    const fn past_participle(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Discard => "discarded",
        }
    }
}

/// The answer to one step, or the sum of several.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StepResult {
    #[serde(alias = "replayed", alias = "discarded")]
    changed: u64,
    pending: u64,
    more: bool,
    not_dead_letters: Vec<Uuid>,
    unknown: Vec<Uuid>,
}

impl StepResult {
    fn add(&mut self, step: Self) {
        self.changed += step.changed;
        self.pending += step.pending;
        self.more = step.more;
        self.not_dead_letters.extend(step.not_dead_letters);
        self.unknown.extend(step.unknown);
    }
}

/// Which dead letters are left for the next steps.
enum RemainingSteps {
    Ids(Vec<Uuid>),
    /// The filter, and how many may be changed.
    Matching(Value, u64),
}

impl RemainingSteps {
    fn next(&mut self, max: u32) -> Option<Value> {
        match self {
            Self::Ids(ids) => {
                let count = ids.len().min(usize::try_from(max).unwrap_or(1));
                let step: Vec<Uuid> = ids.drain(..count).collect();
                (!step.is_empty()).then(|| json!({ "ids": step }))
            }
            Self::Matching(filter, remaining) => {
                let limit = (*remaining).min(u64::from(max));
                *remaining -= limit;
                (limit > 0).then(|| json!({ "filter": filter, "limit": limit }))
            }
        }
    }
}

/// The size of a step, and the time between two.
fn pace(rate: u32) -> (u32, Duration) {
    let step = rate.clamp(1, MAX_LIMIT);
    (step, Duration::from_secs(1) * step / rate.max(1))
}

/// Counts, asks for confirmation, then goes step by step.
pub(super) async fn run(
    operation: BulkOperation,
    args: BulkArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let as_json = args.api.json;
    let parameters = args.filter.parameters(now_ms());
    let parameters = parameters.map_err(CliError::Failed)?.into_iter();
    let filter: Map<String, Value> = parameters
        .map(|(key, value)| (key.to_owned(), Value::String(value)))
        .collect();
    let MatchedView { matched, now } = count(operation, &args.ids, &filter, &client).await?;
    let total = matched.min(args.limit.unwrap_or(u64::MAX));
    if args.dry_run {
        let text = match as_json {
            true => json!({ "matched": matched }).to_string(),
            false => format!(
                "{} would be {}",
                dead_letters(total),
                operation.past_participle()
            ),
        };
        return Ok(print_line(&text)?);
    }
    if total == 0 && !as_json {
        return Ok(print_line("no dead letter matches")?);
    }
    if total > 0 && !args.yes {
        confirm(operation, total)?;
    }
    let steps = match args.ids.is_empty() {
        false => RemainingSteps::Ids(args.ids),
        true => {
            let mut filter = Value::Object(filter);
            // Excludes callbacks that are dead-lettered again in the meantime.
            filter["updated_before"] = json!(now);
            RemainingSteps::Matching(filter, total)
        }
    };
    let mut bulk = Bulk {
        operation,
        client,
        reason: args.reason.unwrap_or_default(),
        total,
        show_progress: !as_json,
        result: StepResult::default(),
    };
    let finished = bulk.run(steps, args.rate).await;
    report(operation, matched, &bulk.result, as_json)?;
    finished.map_err(|error| {
        let changed = bulk.result.changed;
        CliError::Failed(format!(
            "stopped after {changed} of {total}: {error}; run the same command again for the rest"
        ))
    })
}

/// A bulk operation in progress.
struct Bulk {
    operation: BulkOperation,
    client: AdminClient,
    reason: String,
    total: u64,
    show_progress: bool,
    result: StepResult,
}

impl Bulk {
    async fn run(&mut self, mut steps: RemainingSteps, rate: u32) -> Result<(), CliError> {
        let (max, interval) = pace(rate);
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_progress = Instant::now();
        let actor = user_at_host();
        let operation = Uuid::now_v7();
        while let Some(mut step) = steps.next(max) {
            tick.tick().await;
            step["actor"] = json!(actor);
            step["operation"] = json!(operation);
            step["reason"] = json!(self.reason);
            let answer = self.client.post(self.operation.path(), &step).await?;
            self.result.add(parse(&answer)?);
            if matches!(steps, RemainingSteps::Matching(..)) && !self.result.more {
                break;
            }
            if self.show_progress && last_progress.elapsed() >= PROGRESS_INTERVAL {
                last_progress = Instant::now();
                let (done, changed) = (self.operation.past_participle(), self.result.changed);
                print_line(&format!("{done} {changed} of {} ...", self.total))?;
            }
        }
        Ok(())
    }
}

async fn count(
    operation: BulkOperation,
    ids: &[Uuid],
    filter: &Map<String, Value>,
    client: &AdminClient,
) -> Result<MatchedView, CliError> {
    if ids.is_empty() {
        let body = json!({ "filter": filter, "dry_run": true });
        return parse(&client.post(operation.path(), &body).await?);
    }
    let mut sum = MatchedView { matched: 0, now: 0 };
    for ids in ids.chunks(usize::try_from(MAX_LIMIT).unwrap_or(1)) {
        let body = json!({ "ids": ids, "dry_run": true });
        let counted: MatchedView = parse(&client.post(operation.path(), &body).await?)?;
        sum.matched += counted.matched;
        sum.now = counted.now;
    }
    Ok(sum)
}

fn report(
    operation: BulkOperation,
    matched: u64,
    result: &StepResult,
    as_json: bool,
) -> io::Result<()> {
    let done = operation.past_participle();
    if as_json {
        let mut report = json!({ "matched": matched, done: result.changed });
        match operation {
            BulkOperation::Replay => {
                report["pending"] = json!(result.pending);
                report["unknown"] = json!(result.unknown);
            }
            BulkOperation::Discard => {}
        }
        report["not_dead_letters"] = json!(result.not_dead_letters);
        return print_line(&report.to_string());
    }
    print_line(&format!("{done} {}", dead_letters(result.changed)))?;
    if result.pending > 0 {
        let pending = result.pending;
        print_line(&format!(
            "{pending} more will be published within about a minute"
        ))?;
    }
    for id in &result.not_dead_letters {
        print_line(&format!("{id} is not a dead letter"))?;
    }
    for id in &result.unknown {
        print_line(&format!("{id} is unknown"))?;
    }
    Ok(())
}

fn dead_letters(count: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} dead letter{s}")
}

fn confirm(operation: BulkOperation, count: u64) -> Result<(), CliError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::failed(
            "cannot ask for confirmation without a terminal: add --yes, or try --dry-run first",
        ));
    }
    let (dead_letters, done) = (dead_letters(count), operation.past_participle());
    print_line(&format!("{dead_letters} will be {done}. Continue? [y/N]"))?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(CliError::failed("nothing was changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_by_small_steps() {
        for (rate, step, ms) in [
            (1, 1, 1_000),
            (100, 100, 1_000),
            (1_000, 1_000, 1_000),
            (4_000, 1_000, 250),
        ] {
            assert_eq!(pace(rate), (step, Duration::from_millis(ms)), "{rate}");
        }
    }

    #[test]
    fn steps_end_when_everything_is_done() {
        let mut steps = RemainingSteps::Matching(json!({}), 250);
        let limits: Vec<_> = std::iter::from_fn(|| steps.next(100))
            .map(|step| step["limit"].clone())
            .collect();
        assert_eq!(limits, [json!(100), json!(100), json!(50)]);
        let ids: Vec<Uuid> = (0..5).map(Uuid::from_u128).collect();
        let mut steps = RemainingSteps::Ids(ids);
        let counts: Vec<_> = std::iter::from_fn(|| steps.next(2))
            .map(|step| step["ids"].as_array().unwrap().len())
            .collect();
        assert_eq!(counts, [2, 2, 1]);
    }

    #[test]
    fn the_answers_of_both_operations_are_summed() {
        let mut sum = StepResult::default();
        for answer in [
            r#"{"replayed":2,"pending":1,"more":true,"unknown":["00000000-0000-0000-0000-000000000001"]}"#,
            r#"{"discarded":3,"more":false,"not_dead_letters":["00000000-0000-0000-0000-000000000002"]}"#,
        ] {
            sum.add(parse(answer.as_bytes()).unwrap());
        }
        assert_eq!((sum.changed, sum.pending, sum.more), (5, 1, false));
        assert_eq!(sum.unknown, [Uuid::from_u128(1)]);
        assert_eq!(sum.not_dead_letters, [Uuid::from_u128(2)]);
    }

    #[test]
    fn one_dead_letter_is_singular() {
        assert_eq!(dead_letters(1), "1 dead letter");
        assert_eq!(dead_letters(2), "2 dead letters");
    }
}
