//! What an act on many callbacks is called, and what it says of its plan, its progress and its end.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::estimate;
use super::stdout::print_line;
use crate::api::bulk_view::{BulkCountView, NotChanged};

/// How many ids are listed for people; `--json` has all.
const MAX_LISTED: usize = 20;

/// What an erasure leaves, and why.
const WHAT_STAYS: &str = "erased are messages, URLs, caller_no, targets' answers and the words about them; \
    ids, app_id, callee_no, message_type, target, times and outcomes stay, because they name systems and \
    counts depend on them; so does the audit log";

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BulkOperation {
    ReplayDead,
    Discard,
    RetryNow,
    Cancel,
    Replay,
    Expedite,
    Recover,
    Erase,
}

impl BulkOperation {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::ReplayDead => "/admin/v1/dead-letters/replay",
            Self::Discard => "/admin/v1/dead-letters/discard",
            Self::RetryNow => "/admin/v1/callbacks/retry-now",
            Self::Cancel => "/admin/v1/callbacks/cancel",
            Self::Replay => "/admin/v1/callbacks/replay",
            Self::Expedite => "/admin/v1/expedite",
            Self::Recover => "/admin/v1/recover",
            Self::Erase => "/admin/v1/callbacks/erase",
        }
    }

    /// In sentences, and in the JSON of dead letters.
    pub(super) const fn past_participle(self) -> &'static str {
        match self {
            Self::ReplayDead | Self::Replay => "replayed",
            Self::Discard => "discarded",
            Self::RetryNow | Self::Expedite => "retried",
            Self::Cancel => "cancelled",
            Self::Recover => "recovered",
            Self::Erase => "erased",
        }
    }

    const fn is_of_dead_letters(self) -> bool {
        matches!(self, Self::ReplayDead | Self::Discard)
    }

    /// Whether its dry run says until when all are attempted.
    pub(super) const fn has_estimate(self) -> bool {
        matches!(self, Self::RetryNow | Self::Expedite)
    }

    /// Whether it makes attempts, so that its pace says when they have begun.
    const fn attempts(self) -> bool {
        match self {
            Self::ReplayDead | Self::RetryNow | Self::Replay | Self::Expedite => true,
            // Due times are kept.
            Self::Discard | Self::Cancel | Self::Recover | Self::Erase => false,
        }
    }

    /// "1 dead letter", "2 callbacks"
    pub(super) fn counted(self, count: u64) -> String {
        let noun = match self.is_of_dead_letters() {
            true => "dead letter",
            false => "callback",
        };
        let s = if count == 1 { "" } else { "s" };
        format!("{count} {noun}{s}")
    }
}

/// The answer to one step, or the sum of several.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StepResult {
    #[serde(alias = "replayed", alias = "discarded")]
    pub(super) changed: u64,
    pending: u64,
    requested: u64,
    pub(super) more: bool,
    pub(super) next: Option<Uuid>,
    probed: Option<u64>,
    not_changed: Vec<NotChanged>,
    not_dead_letters: Vec<Uuid>,
    unknown: Vec<Uuid>,
}

impl StepResult {
    pub(super) fn add(&mut self, step: Self) {
        self.changed += step.changed;
        self.pending += step.pending;
        self.requested += step.requested;
        self.more = step.more;
        self.next = step.next;
        self.probed = self.probed.or(step.probed);
        self.not_changed.extend(step.not_changed);
        self.not_dead_letters.extend(step.not_dead_letters);
        self.unknown.extend(step.unknown);
    }

    /// How many were selected and taken so far.
    pub(super) fn done(&self) -> u64 {
        self.changed + self.pending + self.requested
    }
}

/// Prints what a dry run has found.
pub(super) fn plan(
    operation: BulkOperation,
    counted: &BulkCountView,
    (total, rate): (u64, u32),
    as_json: bool,
) -> io::Result<()> {
    let takes = Duration::from_secs(total.div_ceil(u64::from(rate.max(1))));
    if as_json {
        let mut plan = json!({ "matched": counted.matched });
        if !operation.is_of_dead_letters() {
            plan["untouched"] = json!(counted.untouched);
            plan["not_changed"] = json!(counted.not_changed);
            plan["seconds"] = json!(takes.as_secs());
            plan["estimate"] = json!(counted.estimate);
        }
        return print_line(&plan.to_string());
    }
    let (what, done) = (operation.counted(total), operation.past_participle());
    print_line(&format!("{what} would be {done}"))?;
    if operation == BulkOperation::Erase {
        print_line(WHAT_STAYS)?;
    }
    untouched(counted)?;
    not_changed(&counted.not_changed)?;
    let expected = expected(counted, (total, rate));
    if !expected.is_empty() {
        return expected.iter().try_for_each(|line| print_line(line));
    }
    if operation.attempts() && total > 0 {
        let takes = humantime::format_duration(takes);
        print_line(&format!(
            "at {rate} per second it takes {takes}; what is over a target's limits is deferred, and \
             takes longer"
        ))?;
    }
    Ok(())
}

/// Until when all are attempted, as far as that is known.
pub(super) fn expected(counted: &BulkCountView, (total, rate): (u64, u32)) -> Vec<String> {
    let estimate = counted.estimate.as_ref().filter(|_| total > 0);
    estimate.map_or_else(Vec::new, |estimate| {
        estimate::sentences(estimate, (total, counted.matched), rate, counted.now)
    })
}

/// Prints what matches and is not touched.
pub(super) fn untouched(counted: &BulkCountView) -> io::Result<()> {
    for others in &counted.untouched {
        let (count, detail) = (others.count, &others.detail);
        print_line(&format!("{count} not touched: {detail}"))?;
    }
    Ok(())
}

fn not_changed(ids: &[NotChanged]) -> io::Result<()> {
    for one in ids.iter().take(MAX_LISTED) {
        print_line(&format!("{}: {}", one.request_id, one.detail))?;
    }
    if ids.len() > MAX_LISTED {
        let more = ids.len() - MAX_LISTED;
        print_line(&format!("... and {more} more: --json lists all"))?;
    }
    Ok(())
}

/// Prints what was done.
pub(super) fn report(
    operation: BulkOperation,
    counted: &BulkCountView,
    result: &StepResult,
    as_json: bool,
) -> io::Result<()> {
    if as_json {
        return print_line(&report_json(operation, counted, result).to_string());
    }
    let done = operation.past_participle();
    print_line(&format!("{done} {}", operation.counted(result.changed)))?;
    if operation == BulkOperation::Erase {
        print_line(WHAT_STAYS)?;
    }
    if result.pending > 0 {
        let pending = result.pending;
        print_line(&format!(
            "{pending} more will be published within about a minute"
        ))?;
    }
    if result.requested > 0 {
        let requested = result.requested;
        print_line(&match operation {
            BulkOperation::Erase => format!(
                "{requested} may be in an attempt now: run the same command again when they have ended"
            ),
            _ => format!(
                "{requested} more may be in an attempt now: they are cancelled if that fails"
            ),
        })?;
    }
    match (operation, result.probed) {
        (BulkOperation::Expedite, Some(1..)) => {
            print_line("its circuit breaker admits a probe, and no Retry-After holds it")?;
        }
        (BulkOperation::Expedite, Some(0)) => {
            print_line("no dispatcher that answered held anything back")?;
        }
        _ => {}
    }
    untouched(counted)?;
    not_changed(&result.not_changed)?;
    // A discard does not tell unknown ids apart.
    let unknown = match operation {
        BulkOperation::Discard => ", or not known",
        _ => "",
    };
    for id in &result.not_dead_letters {
        print_line(&format!(
            "{id} is not a dead letter, or not any more (replayed, discarded, past its retention){unknown}"
        ))?;
    }
    for id in &result.unknown {
        print_line(&format!("{id} is unknown"))?;
    }
    Ok(())
}

fn report_json(operation: BulkOperation, counted: &BulkCountView, result: &StepResult) -> Value {
    let matched = counted.matched;
    if !operation.is_of_dead_letters() {
        return json!({
            "matched": matched,
            "changed": result.changed,
            "pending": result.pending,
            "requested": result.requested,
            "untouched": counted.untouched,
            "not_changed": result.not_changed,
        });
    }
    let mut report = json!({ "matched": matched, operation.past_participle(): result.changed });
    if operation == BulkOperation::ReplayDead {
        report["pending"] = json!(result.pending);
        report["unknown"] = json!(result.unknown);
    }
    report["not_dead_letters"] = json!(result.not_dead_letters);
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::parse;

    #[test]
    fn the_answers_of_all_operations_are_summed() {
        let mut sum = StepResult::default();
        for answer in [
            r#"{"replayed":2,"pending":1,"more":true,"unknown":["00000000-0000-0000-0000-000000000001"]}"#,
            r#"{"discarded":3,"more":true,"not_dead_letters":["00000000-0000-0000-0000-000000000002"]}"#,
            r#"{"changed":4,"requested":1,"more":false,"not_changed":[{"request_id":
               "00000000-0000-0000-0000-000000000003","reason":"ended","detail":"it has ended"}]}"#,
        ] {
            sum.add(parse(answer.as_bytes()).unwrap());
        }
        assert_eq!((sum.changed, sum.pending, sum.more), (9, 1, false));
        assert_eq!((sum.requested, sum.done()), (1, 11));
        assert_eq!(sum.unknown, [Uuid::from_u128(1)]);
        assert_eq!(sum.not_dead_letters, [Uuid::from_u128(2)]);
        assert_eq!(sum.not_changed[0].request_id, Uuid::from_u128(3));
    }

    #[test]
    fn one_of_a_kind_is_singular() {
        assert_eq!(BulkOperation::Discard.counted(1), "1 dead letter");
        assert_eq!(BulkOperation::Cancel.counted(2), "2 callbacks");
    }
}
