//! Groups of callbacks as lines of a table: what they have in common, how many, since when, and links to
//! their list and to what can be done to all of them.

use contract::CallbackStatus;
use journal::{CallbackGroup, CallbackGroups, GroupKey, GroupLook, WaitKind};
use runtime::clock::now_ms;

use super::texts::Texts;
use super::when::When;
use super::{links, paths, query};
use crate::api::explain::deferral_reason;
use crate::api::operations::OperationAct;
use crate::api::reason;
use crate::api::timestamp;

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
    /// Its list; `None`: no filter selects the group and nothing else.
    pub(super) link: Option<String>,
    /// What can be done to all of them: the link, and the word.
    pub(super) acts: Vec<(String, &'static str)>,
}

/// Where the count of a page's groups ended, if these are not all.
pub(super) struct CountEnd {
    /// Callbacks that were accepted before it, or of the oldest after it, are not counted.
    pub(super) at: When,
    pub(super) is_oldest_first: bool,
    /// The same page with a further count; `None`: this is it.
    pub(super) further: Option<String>,
}

impl CountEnd {
    /// `query`: that of the page without its look.
    pub(super) fn of(
        found: &CallbackGroups,
        is_oldest_first: bool,
        (path, query): (&str, &str),
        look: GroupLook,
        t: &Texts,
    ) -> Option<Self> {
        let further = match (look, query) {
            (GroupLook::Further, _) => None,
            (GroupLook::First, "") => Some(links::joined(path, FURTHER)),
            (GroupLook::First, _) => Some(links::joined(path, &format!("{query}&{FURTHER}"))),
        };
        found.looked_to.map(|at| Self {
            at: When::of(at, now_ms(), t),
            is_oldest_first,
            further,
        })
    }
}

/// What a page's query string has that asks for a further count.
const FURTHER: &str = "look=further";

/// How far the page of this query string looks.
pub(super) fn look(here: &str) -> GroupLook {
    match query::value(here, "look").as_deref() {
        Some("further") => GroupLook::Further,
        _ => GroupLook::First,
    }
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
    let is_filter = is_filter(&group.key);
    let acts = match source.may_act && is_filter {
        true => acts(&group.key, source.list),
        false => &[],
    };
    let (name, detail, conditions) = words(group.key, source.query, t);
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
        link: is_filter.then(|| links::joined(source.list, &narrowed)),
        name,
        detail,
        count: group.count,
        oldest: When::of(group.oldest_accepted_at, now, t),
        last: When::of(group.last_updated_at, now, t),
    }
}

/// Whether a filter selects this group and not the others. No condition says that something is missing: one
/// without it selects all. What has expired never has a reason, so its status is enough.
const fn is_filter(key: &GroupKey) -> bool {
    match key {
        GroupKey::LastAttempt { outcome, .. } => outcome.is_some(),
        GroupKey::End { status, reason } => {
            reason.is_some() || matches!(status, CallbackStatus::Expired)
        }
        GroupKey::Target(_) | GroupKey::Hour(_) | GroupKey::Wait { .. } => true,
    }
}

/// What is of use for a whole group. Of what waits, a caller's delay and a reason of a deferral are conditions: a
/// filter for what is retried also finds what is due or deferred.
fn acts(key: &GroupKey, list: &str) -> &'static [OperationAct] {
    if list == paths::DEAD_LETTERS {
        return &[OperationAct::ReplayDead, OperationAct::Discard];
    }
    match key {
        GroupKey::Wait {
            kind: WaitKind::Deferred,
            reason: Some(_),
        }
        | GroupKey::Wait {
            kind: WaitKind::Delayed,
            ..
        } => &[OperationAct::RetryNow, OperationAct::Cancel],
        _ => &[],
    }
}

/// The hour that begins at `at`, within the times of death that the filter asks for already.
fn hour_within(at: u64, filter: &str) -> Vec<(&'static str, String)> {
    let asked = |key| query::value(filter, key).and_then(|text| timestamp::parse(&text).ok());
    let (since, until) = (at, at.saturating_add(HOUR_MS));
    let since = asked("dead_since").map_or(since, |asked| asked.max(since));
    let until = asked("dead_until").map_or(until, |asked| asked.min(until));
    vec![
        ("dead_since", since.to_string()),
        ("dead_until", until.to_string()),
    ]
}

/// Its name, what else is to be said, and the conditions that select it among what matches `filter`.
fn words(
    key: GroupKey,
    filter: &str,
    t: &Texts,
) -> (String, Option<String>, Vec<(&'static str, String)>) {
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
            let cause = cause.map(|cause| t.stored(&cause));
            let detail = cause.map(|cause| match causes {
                0 | 1 => cause,
                several => format!("{cause} ({} {})", t.and_other_causes, several - 1),
            });
            (name, detail, conditions)
        }
        GroupKey::Hour(at) => {
            let shown = When::of(at, at, t).shown;
            (shown, None, hour_within(at, filter))
        }
        GroupKey::Wait { kind, reason } => {
            let conditions = match (kind, &reason) {
                (WaitKind::Due, _) => vec![("status", "due".to_owned())],
                (WaitKind::Delayed, _) => vec![("deferred_reason", reason::DELAYED.to_owned())],
                (WaitKind::Retrying, _) | (WaitKind::Deferred, None) => {
                    vec![("status", "retrying".to_owned())]
                }
                (WaitKind::Deferred, Some(reason)) => {
                    vec![("deferred_reason", reason.clone())]
                }
            };
            let why = reason.map(|reason| t.say(&deferral_reason(&reason)));
            (t.wait_word(kind).to_owned(), why, conditions)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::language::PageLanguage;

    const QUERY: &str = "app_id=a&after=7&status=dead";

    fn one(key: GroupKey, list: &'static str) -> GroupLine {
        among(key, list, QUERY)
    }

    fn among(key: GroupKey, list: &'static str, query: &str) -> GroupLine {
        let group = CallbackGroup {
            key,
            count: 3,
            oldest_accepted_at: 1,
            first_updated_at: 2,
            last_updated_at: 3,
        };
        let source = GroupSource {
            list,
            query,
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
            found.link.unwrap(),
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
        let link = hour.link.unwrap();
        assert!(
            link.ends_with("dead_since=3600000&dead_until=7200000"),
            "{link}"
        );
        let tls = GroupKey::LastAttempt {
            outcome: Some("tls".to_owned()),
            http_status: None,
            cause: Some("expired".to_owned()),
            causes: 3,
        };
        let tls = one(tls, paths::CALLBACKS);
        assert_eq!(
            tls.link.unwrap(),
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
        let link = paused.link.unwrap();
        assert!(link.ends_with("deferred_reason=paused"), "{link}");
        assert_eq!(paused.acts.len(), 2);
        let due = one(wait(WaitKind::Due, None), paths::CALLBACKS);
        assert_eq!(due.link.unwrap(), "/console/callbacks?app_id=a&status=due");
        assert!(due.acts.is_empty());
        let delayed = one(wait(WaitKind::Delayed, None), paths::CALLBACKS);
        let link = delayed.link.unwrap();
        assert!(link.ends_with("deferred_reason=delayed"), "{link}");
        assert_eq!(delayed.acts.len(), 2);
        // The same status has what is due, and what is deferred for a reason.
        for kind in [WaitKind::Retrying, WaitKind::Deferred] {
            let found = one(wait(kind, None), paths::CALLBACKS);
            assert!(found.acts.is_empty() && found.link.is_some(), "{kind:?}");
        }
    }

    #[test]
    fn a_group_of_what_has_no_reason_or_attempt_is_only_counted() {
        let no_attempt = GroupKey::LastAttempt {
            outcome: None,
            http_status: None,
            cause: None,
            causes: 0,
        };
        let no_reason = GroupKey::End {
            status: CallbackStatus::Dead,
            reason: None,
        };
        for key in [no_attempt, no_reason] {
            let found = one(key, paths::DEAD_LETTERS);
            assert_eq!((found.link, found.count), (None, 3), "{}", found.name);
            assert!(found.acts.is_empty(), "{}", found.name);
        }
        let expired = GroupKey::End {
            status: CallbackStatus::Expired,
            reason: None,
        };
        let expired = one(expired, paths::DEAD_LETTERS);
        let expected = "/console/dead-letters?app_id=a&status=expired";
        assert_eq!(expired.link.as_deref(), Some(expected));
        assert_eq!(expired.acts.len(), 2);
    }

    #[test]
    fn an_hour_is_no_wider_than_the_filter() {
        const HOUR: u64 = 1_763_899_200_000;
        for (filter, since, until) in [
            (
                "dead_since=1763900000000",
                1_763_900_000_000,
                HOUR + HOUR_MS,
            ),
            ("dead_until=1763900000000", HOUR, 1_763_900_000_000),
            (
                "dead_since=2025-11-01&dead_until=2025-12-01",
                HOUR,
                HOUR + HOUR_MS,
            ),
        ] {
            let found = among(GroupKey::Hour(HOUR), paths::DEAD_LETTERS, filter);
            let conditions = format!("dead_since={since}&dead_until={until}");
            let expected = format!("/console/dead-letters?{conditions}");
            assert_eq!(found.link.as_ref(), Some(&expected), "{filter}");
            let acts: Vec<_> = found.acts.iter().map(|(link, _)| link).collect();
            assert!(
                acts.len() == 2 && acts.iter().all(|link| link.ends_with(&conditions)),
                "{acts:?}"
            );
        }
    }
}
