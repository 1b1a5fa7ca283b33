//! Groups of callbacks as lines of a table: what they have in common, how many, since when, and links to
//! their list and to what can be done to all of them.

use journal::{CallbackGroup, CallbackGroups, GroupKey, WaitKind};

use super::links;
use super::paths;
use super::texts::Texts;
use super::when::When;
use crate::api::operations::OperationAct;

/// An hour, in ms.
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// How many are on a page: the largest.
pub(super) const MAX_LISTED: usize = 25;

/// A group.
pub(super) struct GroupLine {
    pub(super) name: String,
    pub(super) detail: Option<String>,
    pub(super) count: u64,
    /// When the oldest was accepted.
    pub(super) oldest: When,
    /// When one of them changed last.
    pub(super) last: When,
    /// Its list.
    pub(super) link: String,
    /// What can be done to all of them: the link, and the word.
    pub(super) acts: Vec<(String, &'static str)>,
}

/// Where the groups come from.
pub(super) struct GroupSource<'a> {
    /// The page with their list.
    pub(super) list: &'static str,
    /// The filter that all of them match.
    pub(super) query: &'a str,
    /// Whether the reader may act on them.
    pub(super) may_act: bool,
}

/// The lines of these groups, as seen at `now` (Unix ms).
pub(super) fn lines(
    found: CallbackGroups,
    source: &GroupSource<'_>,
    now: u64,
    t: &Texts,
) -> Vec<GroupLine> {
    let groups = found.groups.into_iter().take(MAX_LISTED);
    groups.map(|group| line(group, source, now, t)).collect()
}

fn line(group: CallbackGroup, source: &GroupSource<'_>, now: u64, t: &Texts) -> GroupLine {
    let acts = match source.may_act {
        true => acts(&group.key, source.list),
        false => &[],
    };
    let (name, detail, conditions) = words(group.key, t);
    let conditions: Vec<(&str, &str)> = conditions
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let narrowed = links::with(source.query, &conditions);
    let acts = acts.iter().map(|act| {
        let path = format!("{}/{}", paths::BULK, act.as_str());
        (links::joined(&path, &narrowed), t.act_word(*act))
    });
    GroupLine {
        acts: acts.collect(),
        link: links::joined(source.list, &narrowed),
        name,
        detail,
        count: group.count,
        oldest: When::of(group.oldest_accepted_at, now, t),
        last: When::of(group.last_updated_at, now, t),
    }
}

/// What is of use for a whole group. What is due cannot be hurried, and a filter for what is delayed finds
/// what is due as well.
fn acts(key: &GroupKey, list: &str) -> &'static [OperationAct] {
    if list == paths::DEAD_LETTERS {
        return &[OperationAct::ReplayDead, OperationAct::Discard];
    }
    match key {
        GroupKey::Wait {
            kind: WaitKind::Retrying | WaitKind::Deferred,
            ..
        } => &[OperationAct::RetryNow, OperationAct::Cancel],
        _ => &[],
    }
}

/// Its name, what else is to be said, and the conditions of a filter that select it.
fn words(key: GroupKey, t: &Texts) -> (String, Option<String>, Vec<(&'static str, String)>) {
    match key {
        GroupKey::Target(target) => (target.clone(), None, vec![("target", target)]),
        GroupKey::End { status, reason } => {
            let mut conditions = vec![("status", status.as_str().to_owned())];
            conditions.extend(reason.clone().map(|reason| ("reason", reason)));
            (t.status_word(status).to_owned(), reason, conditions)
        }
        GroupKey::LastAttempt { outcome: None, .. } => (t.no_attempt.to_owned(), None, Vec::new()),
        GroupKey::LastAttempt {
            outcome: Some(outcome),
            http_status,
            cause,
            causes,
        } => {
            let mut conditions = vec![("outcome", outcome.clone())];
            conditions.extend(http_status.map(|status| ("http_status", status.to_string())));
            let name = match http_status {
                Some(status) => format!("{outcome} {status}"),
                None => outcome,
            };
            let detail = cause.map(|cause| match causes {
                0 | 1 => cause,
                several => format!("{cause} ({} {})", t.and_other_causes, several - 1),
            });
            (name, detail, conditions)
        }
        GroupKey::Hour(at) => {
            let shown = When::of(at, at, t).shown;
            let conditions = vec![
                ("dead_since", at.to_string()),
                ("dead_until", at.saturating_add(HOUR_MS).to_string()),
            ];
            (shown, None, conditions)
        }
        GroupKey::Wait { kind, reason } => {
            let conditions = match (kind, &reason) {
                (WaitKind::Due, _) => vec![("status", "due".to_owned())],
                (WaitKind::Delayed, _) => vec![("status", "queued".to_owned())],
                (WaitKind::Retrying, _) | (WaitKind::Deferred, None) => {
                    vec![("status", "retrying".to_owned())]
                }
                (WaitKind::Deferred, Some(reason)) => {
                    vec![("deferred_reason", reason.clone())]
                }
            };
            (t.wait_word(kind).to_owned(), reason, conditions)
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::CallbackStatus;

    use super::*;
    use crate::console::language::PageLanguage;

    fn one(key: GroupKey, list: &'static str) -> GroupLine {
        let group = CallbackGroup {
            key,
            count: 3,
            oldest_accepted_at: 1,
            first_updated_at: 2,
            last_updated_at: 3,
        };
        let source = GroupSource {
            list,
            query: "app_id=a&after=7&status=dead",
            may_act: true,
        };
        line(group, &source, 4, Texts::of(PageLanguage::English))
    }

    #[test]
    fn a_group_links_to_the_list_of_its_callbacks_and_to_acts_on_them() {
        let end = |reason: Option<&str>| GroupKey::End {
            status: CallbackStatus::Dead,
            reason: reason.map(str::to_owned),
        };
        let found = one(end(Some("exhausted")), paths::DEAD_LETTERS);
        assert_eq!(
            found.link,
            "/console/dead-letters?app_id=a&status=dead&reason=exhausted"
        );
        let links: Vec<&str> = found.acts.iter().map(|(link, _)| &**link).collect();
        assert_eq!(
            links,
            [
                "/console/bulk/replay-dead-letters?app_id=a&status=dead&reason=exhausted",
                "/console/bulk/discard?app_id=a&status=dead&reason=exhausted",
            ]
        );
        let hour = one(GroupKey::Hour(3_600_000), paths::DEAD_LETTERS);
        assert!(
            hour.link.ends_with("dead_since=3600000&dead_until=7200000"),
            "{}",
            hour.link
        );
        let tls = GroupKey::LastAttempt {
            outcome: Some("tls".to_owned()),
            http_status: None,
            cause: Some("expired".to_owned()),
            causes: 3,
        };
        let tls = one(tls, paths::CALLBACKS);
        assert_eq!(
            tls.link,
            "/console/callbacks?app_id=a&status=dead&outcome=tls"
        );
        assert_eq!(tls.detail.as_deref(), Some("expired (other causes: 2)"));
        assert!(tls.acts.is_empty());
    }

    #[test]
    fn what_waits_for_a_reason_can_be_retried_and_what_is_due_only_looked_at() {
        let wait = |kind, reason: Option<&str>| GroupKey::Wait {
            kind,
            reason: reason.map(str::to_owned),
        };
        let paused = one(wait(WaitKind::Deferred, Some("paused")), paths::CALLBACKS);
        assert!(
            paused.link.ends_with("deferred_reason=paused"),
            "{}",
            paused.link
        );
        assert_eq!(paused.acts.len(), 2);
        let due = one(wait(WaitKind::Due, None), paths::CALLBACKS);
        assert_eq!(due.link, "/console/callbacks?app_id=a&status=due");
        assert!(due.acts.is_empty());
    }
}
