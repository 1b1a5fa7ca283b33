//! `ringback tail`: attempts as they end, in all processes.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::args::TailArgs;
use super::client::{AdminClient, Parameter, parse};
use super::error::CliError;
use super::local_time;
use super::stdout::{Readers, print_json_to, print_line_to, print_notice};
use crate::api::process_view::{AttemptEndView, AttemptsView};
use crate::config::AdminConfig;

/// How often the processes are asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How far back each time, in seconds: an answer that is late or lost is made up for by the next.
const LOOK_BACK: u64 = 5;

/// Prints attempts until it is stopped, nobody reads, or there are as many as were asked for.
pub(super) async fn run(args: TailArgs, config: &AdminConfig) -> Result<(), CliError> {
    let parameters = parameters(&args);
    let client = AdminClient::new(args.api.admin, config)?;
    let mut remaining = args.limit.unwrap_or(u64::MAX);
    let mut seen = Seen::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let body = client.get("/admin/v1/attempts", &parameters).await?;
        let view: AttemptsView = parse(&body)?;
        for notice in seen.notices(&view) {
            print_notice(&notice);
        }
        for attempt in seen.new_ones(view.seen.page.items) {
            let readers = match args.api.json {
                true => print_json_to(&attempt)?,
                false => print_line_to(&line(&attempt))?,
            };
            remaining -= 1;
            if remaining == 0 || readers == Readers::Gone {
                return Ok(());
            }
        }
    }
}

fn parameters(args: &TailArgs) -> Vec<Parameter> {
    let all = [
        ("seconds", Some(LOOK_BACK.to_string())),
        ("app_id", args.app.clone()),
        ("callee_no", args.callee.clone()),
        ("target", args.target.clone()),
        ("message_type", args.message_type.clone()),
        ("outcome", args.outcome.clone()),
        ("failed", args.failed.then(|| "true".to_owned())),
    ];
    let given = all.into_iter();
    given
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// What was shown already: the answers overlap.
#[derive(Debug, Default)]
struct Seen {
    /// The highest sequence of each instance. A process that has missed a question is still known.
    highest: HashMap<Uuid, u64>,
    /// Whether there was an answer: what ended before it is not shown.
    has_begun: bool,
    warnings: Vec<String>,
    left_out: bool,
}

impl Seen {
    /// The attempts that ended since the first answer, and that the answers before did not have.
    fn new_ones(&mut self, attempts: Vec<AttemptEndView>) -> Vec<AttemptEndView> {
        let mut new = Vec::new();
        let before = self.highest.clone();
        for attempt in attempts {
            let AttemptEndView {
                instance, sequence, ..
            } = attempt;
            let highest = self.highest.entry(instance).or_default();
            *highest = sequence.max(*highest);
            let is_known = before
                .get(&instance)
                .is_some_and(|known| sequence <= *known);
            if self.has_begun && !is_known {
                new.push(attempt);
            }
        }
        self.has_begun = true;
        new
    }

    /// What an operator should know, once each time that it begins. Called before the attempts of the
    /// answer are taken.
    fn notices(&mut self, view: &AttemptsView) -> Vec<String> {
        let warnings = &view.seen.warnings;
        let known = std::mem::replace(&mut self.warnings, warnings.clone());
        let new = warnings.iter().filter(|warning| !known.contains(warning));
        let mut notices: Vec<String> = new.map(|warning| format!("! {warning}")).collect();
        let left_out = self.may_miss_some(view);
        if left_out && !self.left_out {
            notices.push(
                "! more attempts than can be shown: some may be left out; filters narrow them"
                    .to_owned(),
            );
        }
        self.left_out = left_out;
        notices
    }

    /// Whether what the answer leaves out may be what was not shown before.
    fn may_miss_some(&self, view: &AttemptsView) -> bool {
        if !view.left_out || !self.has_begun {
            return false;
        }
        let items = &view.seen.page.items;
        let mut oldest: HashMap<Uuid, u64> = HashMap::new();
        for attempt in items {
            let sequence = oldest.entry(attempt.instance).or_insert(attempt.sequence);
            *sequence = attempt.sequence.min(*sequence);
        }
        let has_gap = |(instance, sequence): (&Uuid, &u64)| {
            let highest = self.highest.get(instance).copied().unwrap_or_default();
            *sequence > highest.saturating_add(1)
        };
        items.is_empty() || oldest.iter().any(has_gap)
    }
}

/// One attempt in one line.
fn line(attempt: &AttemptEndView) -> String {
    let AttemptEndView {
        request_id,
        app_id,
        message_type,
        outcome,
        duration_ms,
        ..
    } = attempt;
    let to = match &attempt.callee_no {
        Some(no) => format!("{no} {}", attempt.target),
        None => attempt.target.clone(),
    };
    let http = attempt.http_status.map(|status| format!(" {status}"));
    let cause = attempt.cause.as_ref().map(|cause| format!(" ({cause})"));
    let next = match (&*attempt.verdict, attempt.next_attempt_at) {
        ("dead_lettered", _) => ", dead-lettered".to_owned(),
        ("deferred", Some(at)) => format!(", deferred until {}", local_time::show(at)),
        (_, Some(at)) => format!(", next at {}", local_time::show(at)),
        (_, None) => String::new(),
    };
    let text = format!(
        "{}  {request_id}  attempt {}: {outcome}{} in {duration_ms} ms{}{next}  {app_id} -> {to} \
         ({message_type})",
        local_time::show(attempt.ended_at),
        attempt.attempt,
        http.unwrap_or_default(),
        cause.unwrap_or_default(),
    );
    runtime::text::one_line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::process_view::{SeenBy, SeenPage};
    use crate::api::view::ItemsPage;

    const ENDED: u64 = 1_763_900_000_000;

    fn attempt(sequence: u64) -> AttemptEndView {
        AttemptEndView {
            ended_at: ENDED,
            request_id: Uuid::nil(),
            app_id: "crm".to_owned(),
            callee_no: None,
            target: "https://h.example:443".to_owned(),
            message_type: "order".to_owned(),
            attempt: 2,
            outcome: "answered_5xx".to_owned(),
            http_status: Some(503),
            cause: None,
            duration_ms: 12,
            verdict: "retry".to_owned(),
            next_attempt_at: Some(ENDED + 5_000),
            process: "dispatcher h:7".to_owned(),
            instance: Uuid::from_u128(1),
            sequence,
        }
    }

    #[test]
    fn an_attempt_is_one_line() {
        assert_eq!(
            line(&attempt(1)),
            "2025-11-23T12:13:20.000Z  00000000-0000-0000-0000-000000000000  attempt 2: answered_5xx 503 \
             in 12 ms, next at 2025-11-23T12:13:25.000Z  crm -> https://h.example:443 (order)"
        );
        let dead = AttemptEndView {
            callee_no: Some("EO001".to_owned()),
            outcome: "tls".to_owned(),
            http_status: None,
            cause: Some("certificate\nexpired".to_owned()),
            verdict: "dead_lettered".to_owned(),
            next_attempt_at: None,
            ..attempt(1)
        };
        let shown = line(&dead);
        let end = "attempt 2: tls in 12 ms (certificate expired), dead-lettered  crm -> EO001 \
                   https://h.example:443 (order)";
        assert!(shown.ends_with(end), "{shown}");
    }

    fn view(items: Vec<AttemptEndView>, warnings: &[&str], left_out: bool) -> AttemptsView {
        AttemptsView {
            seen: SeenPage {
                page: ItemsPage { items, next: None },
                seen_by: SeenBy::default(),
                warnings: warnings.iter().map(|it| (*it).to_owned()).collect(),
            },
            left_out,
        }
    }

    /// An attempt of another process.
    fn of_other(sequence: u64) -> AttemptEndView {
        AttemptEndView {
            instance: Uuid::from_u128(2),
            ..attempt(sequence)
        }
    }

    #[test]
    fn each_attempt_is_shown_once_from_the_first_answer_on() {
        let mut seen = Seen::default();
        assert!(seen.new_ones(vec![attempt(1), attempt(2)]).is_empty());
        assert_eq!(
            seen.new_ones(vec![attempt(1), attempt(2), attempt(3)]),
            [attempt(3)]
        );
        assert_eq!(
            seen.new_ones(vec![attempt(3), of_other(3), of_other(2)]),
            [of_other(3), of_other(2)],
            "two of one answer, whatever their order"
        );
        // A process misses a question: what was shown of it is not shown again.
        assert_eq!(seen.new_ones(vec![of_other(4)]), [of_other(4)]);
        assert_eq!(
            seen.new_ones(vec![attempt(2), attempt(3), attempt(4), of_other(4)]),
            [attempt(4)]
        );
        assert!(seen.new_ones(Vec::new()).is_empty());
        assert!(seen.new_ones(vec![attempt(4), of_other(4)]).is_empty());
    }

    #[test]
    fn each_warning_is_shown_when_it_begins() {
        let mut seen = Seen::default();
        let warning: &[&str] = &["h:8 does not answer"];
        assert_eq!(seen.notices(&view(Vec::new(), warning, false)).len(), 1);
        assert_eq!(seen.notices(&view(Vec::new(), warning, false)).len(), 0);
        assert_eq!(seen.notices(&view(Vec::new(), &[], false)).len(), 0);
        assert_eq!(seen.notices(&view(Vec::new(), warning, false)).len(), 1);
    }

    #[test]
    fn what_is_left_out_is_said_if_it_may_not_have_been_shown() {
        let mut seen = Seen::default();
        let mut notices = |items: Vec<AttemptEndView>, left_out| {
            let notices = seen.notices(&view(items.clone(), &[], left_out));
            seen.new_ones(items);
            notices.len()
        };
        assert_eq!(notices(vec![attempt(9)], true), 0, "it ended before");
        assert_eq!(notices(vec![attempt(10), attempt(11)], true), 0);
        assert_eq!(notices(vec![attempt(13)], false), 0, "a filter");
        assert_eq!(notices(vec![attempt(15), of_other(1)], true), 1, "a gap");
        assert_eq!(notices(vec![attempt(17)], true), 0, "it was said");
        assert_eq!(notices(vec![attempt(18)], true), 0);
        assert_eq!(notices(Vec::new(), true), 1, "nothing tells");
    }
}
