//! Attempts as they are watched: the processes are asked again and again, and their answers overlap.

use std::collections::HashMap;

use uuid::Uuid;

use super::process_view::{AttemptEndView, AttemptsView};
use crate::doctor::said::Said;

/// What was shown already: the answers overlap.
#[derive(Debug, Default)]
pub(crate) struct WatchedAttempts {
    /// The highest sequence of each instance. A process that has missed a question is still known.
    highest: HashMap<Uuid, u64>,
    /// Whether there was an answer: what ended before it is not shown.
    has_begun: bool,
    warnings: Vec<Said>,
    left_out: bool,
}

impl WatchedAttempts {
    /// Shows what the first answer has, too.
    pub(crate) fn with_earlier() -> Self {
        Self {
            has_begun: true,
            ..Self::default()
        }
    }

    /// The attempts that ended since the first answer, and that the answers before did not have.
    pub(crate) fn new_ones(&mut self, attempts: Vec<AttemptEndView>) -> Vec<AttemptEndView> {
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
    pub(crate) fn notices(&mut self, view: &AttemptsView) -> Vec<String> {
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
    pub(crate) fn may_miss_some(&self, view: &AttemptsView) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::process_view::{SeenBy, SeenPage};
    use crate::api::view::ItemsPage;

    fn attempt(sequence: u64) -> AttemptEndView {
        AttemptEndView {
            ended_at: 1_763_900_000_000,
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
            next_attempt_at: None,
            process: "dispatcher h:7".to_owned(),
            instance: Uuid::from_u128(1),
            sequence,
        }
    }

    fn view(items: Vec<AttemptEndView>, warnings: &[&str], left_out: bool) -> AttemptsView {
        AttemptsView {
            seen: SeenPage {
                page: ItemsPage { items, next: None },
                seen_by: SeenBy::default(),
                warnings: warnings.iter().map(|it| (*it).into()).collect(),
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
        let mut seen = WatchedAttempts::default();
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
    fn what_the_first_answer_has_is_shown_if_it_is_asked_for() {
        let mut seen = WatchedAttempts::with_earlier();
        assert_eq!(seen.new_ones(vec![attempt(1)]), [attempt(1)]);
        assert_eq!(seen.new_ones(vec![attempt(1), attempt(2)]), [attempt(2)]);
    }

    #[test]
    fn each_warning_is_shown_when_it_begins() {
        let mut seen = WatchedAttempts::default();
        let warning: &[&str] = &["h:8 does not answer"];
        assert_eq!(seen.notices(&view(Vec::new(), warning, false)).len(), 1);
        assert_eq!(seen.notices(&view(Vec::new(), warning, false)).len(), 0);
        assert_eq!(seen.notices(&view(Vec::new(), &[], false)).len(), 0);
        assert_eq!(seen.notices(&view(Vec::new(), warning, false)).len(), 1);
    }

    #[test]
    fn what_is_left_out_is_said_if_it_may_not_have_been_shown() {
        let mut seen = WatchedAttempts::default();
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
