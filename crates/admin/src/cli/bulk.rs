//! Works through many callbacks in small steps, at a steady rate. An interrupted command is run again
//! for the rest.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::args::StepArgs;
use super::bulk_report::{self, BulkOperation, StepResult};
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::stdout::print_line;
use super::user::user_at_host;
use crate::api::bulk_view::BulkCountView;
use crate::api::operations::steps_at;
use crate::api::query_params::MAX_LIMIT;
use crate::api::timestamp;

/// How often a long command reports its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What is done, and to which callbacks.
pub(super) struct BulkPlan {
    pub(super) operation: BulkOperation,
    /// By these ids, or by `body`.
    pub(super) ids: Vec<String>,
    /// What every request has besides ids, limit and who asks: the filter and further members.
    pub(super) body: Map<String, Value>,
    /// What the first step alone has.
    pub(super) first: Map<String, Value>,
    /// Set in the filter, or at the top where there is none: `updated_before`.
    pub(super) started_at: StartedAt,
}

/// Where a request says when its command began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StartedAt {
    /// In the filter, unless that has an earlier one.
    Filter,
    /// In the body.
    Body,
    /// Nowhere.
    None,
}

/// The requests that are left.
enum RemainingSteps {
    Ids(Vec<String>),
    /// How many may be changed.
    Matching(u64),
}

impl RemainingSteps {
    fn next(&mut self, max: u32) -> Option<Map<String, Value>> {
        let mut step = Map::new();
        match self {
            Self::Ids(ids) => {
                let count = ids.len().min(usize::try_from(max).unwrap_or(1));
                let ids: Vec<String> = ids.drain(..count).collect();
                if ids.is_empty() {
                    return None;
                }
                step.insert("ids".to_owned(), json!(ids));
            }
            Self::Matching(0) => return None,
            Self::Matching(remaining) => {
                let limit = (*remaining).min(u64::from(max));
                step.insert("limit".to_owned(), json!(limit));
            }
        }
        Some(step)
    }

    /// A step with a filter has taken so many.
    fn taken(&mut self, count: u64) {
        if let Self::Matching(remaining) = self {
            *remaining = remaining.saturating_sub(count);
        }
    }
}

/// Counts, asks for confirmation, then goes step by step.
pub(super) async fn run(
    plan: BulkPlan,
    args: StepArgs,
    client: AdminClient,
) -> Result<(), CliError> {
    let as_json = args.api.json;
    let operation = plan.operation;
    if args.limit.is_some() && !plan.ids.is_empty() {
        return Err(CliError::failed("--limit is for filters: give fewer ids"));
    }
    let counted = count(&plan, args.rate, &client).await?;
    let total = counted.matched.min(args.limit.unwrap_or(u64::MAX));
    if args.dry_run {
        let pace = (total, args.rate);
        return Ok(bulk_report::plan(operation, &counted, pace, as_json)?);
    }
    if total == 0 && !as_json {
        print_line(match operation {
            BulkOperation::ReplayDead | BulkOperation::Discard => "no dead letter matches",
            _ => "no callback matches to which this can be done",
        })?;
        return Ok(bulk_report::untouched(&counted)?);
    }
    if total > 0 && !args.yes {
        for line in bulk_report::expected(&counted, (total, args.rate)) {
            print_line(&line)?;
        }
        confirm(operation, total)?;
    }
    finish(plan, &counted, total, args, client).await
}

/// Goes step by step, and reports.
pub(super) async fn finish(
    plan: BulkPlan,
    counted: &BulkCountView,
    total: u64,
    args: StepArgs,
    client: AdminClient,
) -> Result<(), CliError> {
    let operation = plan.operation;
    let mut bulk = BulkRun {
        operation,
        client,
        reason: args.reason.unwrap_or_default(),
        total,
        show_progress: !args.api.json,
        result: StepResult::default(),
    };
    let finished = bulk.run(plan, counted.now, args.rate).await;
    bulk_report::report(operation, counted, &bulk.result, args.api.json)?;
    finished.map_err(|error| {
        let changed = bulk.result.changed;
        CliError::Failed(format!(
            "stopped after {changed} of {total}: {error}; run the same command again for the rest"
        ))
    })
}

/// A command in progress.
struct BulkRun {
    operation: BulkOperation,
    client: AdminClient,
    reason: String,
    total: u64,
    show_progress: bool,
    result: StepResult,
}

impl BulkRun {
    async fn run(&mut self, plan: BulkPlan, now: u64, rate: u32) -> Result<(), CliError> {
        let (max, interval) = steps_at(rate);
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_progress = Instant::now();
        let mut body = plan.body;
        let mut steps = match plan.ids.is_empty() {
            false => RemainingSteps::Ids(plan.ids),
            true => {
                // Excludes what changes again in the meantime, for instance dies again.
                begin_at(&mut body, plan.started_at, now);
                RemainingSteps::Matching(self.total)
            }
        };
        body.insert("actor".to_owned(), json!(user_at_host()));
        body.insert("reason".to_owned(), json!(self.reason));
        body.insert("operation".to_owned(), json!(Uuid::now_v7()));
        let mut first = plan.first;
        while let Some(mut step) = steps.next(max) {
            tick.tick().await;
            step.extend(body.clone());
            step.append(&mut first);
            if let Some(next) = self.result.next {
                step.insert("after".to_owned(), json!(next));
            }
            let answer = self
                .client
                .post(self.operation.path(), &Value::Object(step))
                .await?;
            let before = self.result.done();
            self.result.add(parse(&answer)?);
            steps.taken(self.result.done() - before);
            if matches!(steps, RemainingSteps::Matching(_)) && !self.result.more {
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

fn begin_at(body: &mut Map<String, Value>, started_at: StartedAt, now: u64) {
    match started_at {
        StartedAt::Filter => {
            if let Some(Value::Object(filter)) = body.get_mut("filter") {
                let asked = match filter.get("updated_before") {
                    Some(Value::String(text)) => timestamp::parse(text).ok(),
                    Some(other) => other.as_u64(),
                    None => None,
                };
                if asked.is_none_or(|asked| asked > now) {
                    filter.insert("updated_before".to_owned(), json!(now));
                }
            }
        }
        StartedAt::Body => {
            body.insert("updated_before".to_owned(), json!(now));
        }
        StartedAt::None => {}
    }
}

/// A dry run.
pub(super) async fn count(
    plan: &BulkPlan,
    rate: u32,
    client: &AdminClient,
) -> Result<BulkCountView, CliError> {
    let post = |members: Value| {
        let mut body = plan.body.clone();
        if let Value::Object(members) = members {
            body.extend(members);
        }
        body.insert("dry_run".to_owned(), json!(true));
        if plan.operation.has_estimate() {
            body.insert("rate".to_owned(), json!(rate));
        }
        let body = Value::Object(body);
        async move { parse(&client.post(plan.operation.path(), &body).await?) }
    };
    if plan.ids.is_empty() {
        return post(json!({})).await;
    }
    let mut sum: Option<BulkCountView> = None;
    for ids in plan.ids.chunks(usize::try_from(MAX_LIMIT).unwrap_or(1)) {
        let counted: BulkCountView = post(json!({ "ids": ids })).await?;
        sum = Some(match sum {
            None => counted,
            Some(mut sum) => {
                sum.matched += counted.matched;
                sum.not_changed.extend(counted.not_changed);
                match (&mut sum.estimate, counted.estimate) {
                    (Some(sum), Some(more)) => sum.add(more),
                    (none @ None, more) => *none = more,
                    (Some(_), None) => {}
                }
                sum
            }
        });
    }
    sum.ok_or_else(|| CliError::failed("no ids are given"))
}

fn confirm(operation: BulkOperation, count: u64) -> Result<(), CliError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::failed(
            "cannot ask for confirmation without a terminal: add --yes, or try --dry-run first",
        ));
    }
    let (what, done) = (operation.counted(count), operation.past_participle());
    print_line(&format!("{what} will be {done}. Continue? [y/N]"))?;
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
    fn steps_end_when_everything_is_done() {
        let mut steps = RemainingSteps::Matching(250);
        let mut limits = Vec::new();
        while let Some(step) = steps.next(100) {
            limits.push(step["limit"].clone());
            // The last but one takes fewer than it might: its messages were large.
            steps.taken(if limits.len() == 2 { 60 } else { 100 });
        }
        assert_eq!(limits, [json!(100), json!(100), json!(90)]);
        let ids = (0..5).map(|number| Uuid::from_u128(number).to_string());
        let mut steps = RemainingSteps::Ids(ids.collect());
        let counts: Vec<_> = std::iter::from_fn(|| steps.next(2))
            .map(|step| step["ids"].as_array().unwrap().len())
            .collect();
        assert_eq!(counts, [2, 2, 1]);
    }

    #[test]
    fn a_command_does_not_take_what_changed_since_it_began() {
        let mut body = Map::new();
        body.insert("filter".to_owned(), json!({"app_id": "a"}));
        begin_at(&mut body, StartedAt::Filter, 7);
        assert_eq!(body["filter"], json!({"app_id": "a", "updated_before": 7}));
        begin_at(&mut body, StartedAt::Filter, 8);
        assert_eq!(body["filter"]["updated_before"], 7, "as it was asked for");
        for later in [json!(9), json!("2999-01-01")] {
            body["filter"]["updated_before"] = later;
            begin_at(&mut body, StartedAt::Filter, 8);
            assert_eq!(body["filter"]["updated_before"], 8, "that is still to come");
        }
        body["filter"]["updated_before"] = json!("2025-11-23");
        begin_at(&mut body, StartedAt::Filter, 1_763_900_000_000);
        assert_eq!(body["filter"]["updated_before"], "2025-11-23");
        begin_at(&mut body, StartedAt::Body, 9);
        assert_eq!(body["updated_before"], 9);
    }
}
