//! Which processes answered recently.

use std::collections::HashMap;
use std::time::Duration;

use contract::control::InstanceReport;
use uuid::Uuid;

/// A process that was not heard for this long is forgotten: RabbitMQ ends its connection about then.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// How many processes are remembered. More answer all the same.
const MAX_MEMBERS: usize = 1_000;

/// A process that answered recently and did not answer now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Its last answer.
    pub(crate) report: InstanceReport,
    /// How long ago.
    pub(crate) heard_ago: Duration,
}

/// The processes that answered recently, with their last answers.
#[derive(Debug, Default)]
pub(super) struct Membership(HashMap<Uuid, (InstanceReport, Duration)>);

impl Membership {
    /// A process has answered who it is. `now`: since any fixed point of a monotonic clock.
    pub(super) fn heard(&mut self, report: &InstanceReport, now: Duration) {
        self.forget(now);
        if self.0.len() < MAX_MEMBERS || self.0.contains_key(&report.instance) {
            self.0.insert(report.instance, (report.clone(), now));
        }
    }

    /// A process has told that it is stopping.
    pub(super) fn left(&mut self, instance: Uuid) {
        self.0.remove(&instance);
    }

    /// Those that are not among the ones that answered, by role and name.
    pub(super) fn silent(&mut self, answered: impl Fn(Uuid) -> bool, now: Duration) -> Vec<Silent> {
        self.forget(now);
        let silent = self.0.values().filter(|(it, _)| !answered(it.instance));
        let mut silent: Vec<Silent> = silent
            .map(|(report, at)| Silent {
                report: report.clone(),
                heard_ago: now.saturating_sub(*at),
            })
            .collect();
        silent.sort_by_key(|it| (it.report.role.clone(), it.report.name(), it.report.instance));
        silent
    }

    fn forget(&mut self, now: Duration) {
        let recent = |at: &Duration| now.saturating_sub(*at) < FORGET_AFTER;
        self.0.retain(|_, (_, at)| recent(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(number: u128) -> InstanceReport {
        InstanceReport {
            instance: Uuid::from_u128(number),
            role: "dispatcher".to_owned(),
            ..InstanceReport::default()
        }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_process_is_silent_until_it_is_forgotten_or_leaves() {
        let mut members = Membership::default();
        for number in 1..=3 {
            members.heard(&report(number), at(100));
        }
        members.left(Uuid::from_u128(3));
        let silent = members.silent(|id| id == Uuid::from_u128(1), at(112));
        let [one] = silent.as_slice() else {
            panic!("{silent:?}");
        };
        assert_eq!(
            (one.report.instance, one.heard_ago),
            (Uuid::from_u128(2), at(12))
        );
        members.heard(&report(1), at(120));
        let silent = members.silent(|_| false, at(131));
        assert_eq!(silent.len(), 1, "the one that was heard again");
    }

    #[test]
    fn the_number_of_processes_is_bounded() {
        let mut members = Membership::default();
        for number in 0..2_000 {
            members.heard(&report(number), at(1));
        }
        assert_eq!(members.silent(|_| false, at(1)).len(), MAX_MEMBERS);
    }
}
