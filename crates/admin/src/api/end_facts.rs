//! Finds out why a callback has ended: what its caller allowed, and who cancelled it.

use contract::{CallbackStatus, Message};
use journal::{
    AuditCursor, Callback, Journal, JournalError, MAX_AUDIT_SUBJECT, Origin, StoredAuditEntry,
};
use uuid::Uuid;

use super::audit::AuditAction;
use super::explain::facts::{CallbackFacts, CallerLimits, Canceller};

/// How many entries of the audit log are read back from the time of a cancellation.
const MAX_ENTRIES: u32 = 200;
/// An entry is written within this time of what it tells of, on clocks that differ a little; in ms.
const MARGIN_MS: u64 = 10_000;
/// How many characters of what was cancelled with others are shown: a list of ids is long.
const MAX_AMONG: usize = 200;

/// What is known of the end of a callback, or of the cancellation that it is about to get.
///
/// # Errors
/// The journal cannot be read.
pub(super) async fn end_facts(
    callback: &Callback,
    journal: &Journal,
) -> Result<CallbackFacts, JournalError> {
    let mut facts = CallbackFacts::default();
    add_end_facts(&mut facts, callback, journal).await?;
    Ok(facts)
}

/// Adds it to what is known besides.
///
/// # Errors
/// The journal cannot be read.
pub(super) async fn add_end_facts(
    facts: &mut CallbackFacts,
    callback: &Callback,
    journal: &Journal,
) -> Result<(), JournalError> {
    let is_dead_letter = matches!(
        callback.status,
        CallbackStatus::Dead | CallbackStatus::Expired
    );
    if is_dead_letter && callback.has_message {
        let message = journal.message(callback.origin.request_id).await?;
        let message = message.and_then(|bytes| Message::decode(&bytes).ok());
        facts.limits = message.map(|message| CallerLimits {
            max_attempts: message.options.max_attempts,
            expire_seconds: message.options.expire_seconds,
        });
    }
    if callback.cancel_requested || callback.status == CallbackStatus::Cancelled {
        facts.canceller = match callback.cancel_requested_at {
            Some(at) => Some(canceller(callback, at, journal).await?),
            None => None,
        };
    }
    Ok(())
}

/// Who cancelled the callback at this time, Unix ms.
async fn canceller(
    callback: &Callback,
    at: u64,
    journal: &Journal,
) -> Result<Canceller, JournalError> {
    let after = AuditCursor {
        occurred_at: at.saturating_add(MARGIN_MS),
        id: u64::MAX,
    };
    let page = journal.audit_log(Some(after), MAX_ENTRIES).await?;
    let id = callback.origin.request_id.to_string();
    let by_id = page.entries.iter().find(|entry| names(entry, &id, at));
    let found = by_id.map(|entry| (entry, None)).or_else(|| {
        let of_filter = page
            .entries
            .iter()
            .find(|entry| may_select(entry, callback, at));
        of_filter.map(|entry| (entry, Some(among(&entry.entry.subject))))
    });
    Ok(match found {
        Some((StoredAuditEntry { entry, .. }, among)) => Canceller::Operator {
            name: entry.actor.clone(),
            reason: entry.reason.clone(),
            among,
        },
        None => Canceller::Unknown,
    })
}

/// What cancels: an erasure does so first, if it is told to.
fn cancels(entry: &StoredAuditEntry) -> bool {
    [AuditAction::Cancel, AuditAction::Erase]
        .into_iter()
        .any(|action| action.as_str() == entry.entry.action)
}

/// Whether what it tells of was done at this time.
fn is_of_time(entry: &StoredAuditEntry, at: u64) -> bool {
    let began = entry.entry.occurred_at.saturating_sub(MARGIN_MS);
    let ended = entry.updated_at.saturating_add(MARGIN_MS);
    (began..=ended).contains(&at)
}

/// Whether it cancelled the callback by its id, at this time.
fn names(entry: &StoredAuditEntry, id: &str, at: u64) -> bool {
    cancels(entry) && is_of_time(entry, at) && entry.entry.subject.contains(id)
}

/// Whether it cancelled by a filter, or more ids than are listed, at this time, and the callback may be
/// among them.
fn may_select(entry: &StoredAuditEntry, callback: &Callback, at: u64) -> bool {
    cancels(entry) && is_of_time(entry, at) && !is_of_others(&entry.entry.subject, &callback.origin)
}

/// The beginning of a subject.
fn among(subject: &str) -> String {
    match subject.char_indices().nth(MAX_AMONG) {
        Some((end, _)) => format!("{} ...", subject.get(..end).unwrap_or_default()),
        None => subject.to_owned(),
    }
}

/// Whether the subject of an entry excludes the callback: lists of other ids, or filters with another
/// name. What is cut excludes nobody.
fn is_of_others(subject: &str, origin: &Origin) -> bool {
    let is_cut = subject.chars().count() >= MAX_AUDIT_SUBJECT;
    // The steps of an operation are one entry.
    !is_cut && subject.split("; ").all(|part| excludes(part, origin))
}

fn excludes(part: &str, origin: &Origin) -> bool {
    if part.contains(" ids: ") || Uuid::try_parse(part).is_ok() {
        return true;
    }
    let names = [
        ("app_id ", Some(origin.app_id.as_str())),
        ("callee_no ", origin.callee_no.as_deref()),
        ("target ", Some(origin.target.as_str())),
        ("message_type ", Some(origin.message_type.as_str())),
    ];
    part.split(", ").any(|condition| {
        let mut names = names.iter();
        names.any(|(key, name)| {
            let wanted = condition.strip_prefix(key);
            wanted.is_some_and(|wanted| Some(wanted) != *name)
        })
    })
}

#[cfg(test)]
mod tests {
    use journal::RecordedState;
    use runtime::clock::now_ms;
    use serde_json::json;
    use std::time::Duration;

    use super::*;
    use crate::api::tests::{ApiFixture, message, record};

    /// A callback of this app that waits for an hour.
    async fn waiting(fixture: &ApiFixture, app: &str) -> Uuid {
        let message = message(app);
        let next_attempt_at = now_ms() + 3_600_000;
        let state = RecordedState::Retrying { next_attempt_at };
        fixture
            .journal
            .record(&[record(&message, state)])
            .await
            .unwrap();
        message.request_id
    }

    async fn canceller_of(fixture: &ApiFixture, id: Uuid) -> Option<Canceller> {
        let callback = fixture.journal.find(id).await.unwrap().unwrap();
        let facts = end_facts(&callback, &fixture.journal).await.unwrap();
        facts.canceller
    }

    fn operator(among: Option<&str>) -> Option<Canceller> {
        Some(Canceller::Operator {
            name: "ann@desk".to_owned(),
            reason: "wrong price".to_owned(),
            among: among.map(str::to_owned),
        })
    }

    #[tokio::test]
    async fn who_cancelled_a_callback_is_read_in_the_audit_log() {
        let fixture = ApiFixture::new().await;
        let client = fixture.serve(None, true);
        let cancel = "/admin/v1/callbacks/cancel";
        let who = |mut body: serde_json::Value| {
            body["actor"] = json!("ann@desk");
            body["reason"] = json!("wrong price");
            body
        };
        let one = waiting(&fixture, "crm").await;
        assert_eq!(canceller_of(&fixture, one).await, None, "it waits");
        let by_caller = waiting(&fixture, "erp").await;
        let margin = Duration::from_secs(2);
        let cancelled = fixture
            .journal
            .cancel(by_caller, Some("erp"), now_ms(), margin)
            .await;
        assert_eq!(cancelled.unwrap(), journal::CancelOutcome::Cancelled);
        assert_eq!(
            canceller_of(&fixture, by_caller).await,
            Some(Canceller::Unknown)
        );

        let path = format!("/admin/v1/callbacks/{one}/cancel");
        assert_eq!(client.post(&path, who(json!({}))).await.0, 200);
        assert_eq!(canceller_of(&fixture, one).await, operator(None));
        let (two, three) = (
            waiting(&fixture, "crm").await,
            waiting(&fixture, "crm").await,
        );
        let body = who(json!({"ids": [two]}));
        assert_eq!(client.post(cancel, body).await.0, 200);
        assert_eq!(canceller_of(&fixture, two).await, operator(None));
        let body = who(json!({"filter": {"app_id": "crm"}}));
        assert_eq!(client.post(cancel, body).await.0, 200);
        assert_eq!(
            canceller_of(&fixture, three).await,
            operator(Some("app_id crm, status queued or retrying or unaccounted"))
        );
        // Another app's callback was not among them, although it was cancelled at the same time.
        assert_eq!(
            canceller_of(&fixture, by_caller).await,
            Some(Canceller::Unknown)
        );

        let (_, shown) = client.get(&format!("/admin/v1/callbacks/{one}")).await;
        let explanation = shown["explanation"].as_str().unwrap();
        let words = "by the operator ann@desk (reason: wrong price)";
        assert!(explanation.contains(words), "{explanation}");
        drop(client);
        fixture.close().await;
    }

    #[tokio::test]
    async fn what_a_caller_allowed_is_read_in_the_message_of_a_dead_letter() {
        let fixture = ApiFixture::new().await;
        let mut message = message("demo");
        message.options.max_attempts = Some(2);
        message.options.expire_seconds = Some(60);
        let dead = record(&message, crate::api::tests::dead("exhausted"));
        fixture.journal.record(&[dead]).await.unwrap();
        let callback = fixture
            .journal
            .find(message.request_id)
            .await
            .unwrap()
            .unwrap();
        let facts = end_facts(&callback, &fixture.journal).await.unwrap();
        let expected = CallerLimits {
            max_attempts: Some(2),
            expire_seconds: Some(60),
        };
        assert_eq!(facts.limits, Some(expected));
        fixture.close().await;
    }

    #[test]
    fn an_entry_of_other_callbacks_is_not_taken() {
        let origin = record(&message("crm"), RecordedState::Cancelled).origin;
        for (subject, others) in [
            ("app_id crm", false),
            (
                "app_id crm, message_type hello, status queued or retrying",
                false,
            ),
            ("all that waits", false),
            ("3000 ids, a to b", false),
            ("app_id erp", true),
            ("app_id crm, callee_no EO001", true),
            ("target https://other.example:443", true),
            ("2 ids: a, b", true),
            ("2 ids: a, b; 2 ids: c, d", true),
            ("2 ids: a, b; 3000 ids, c to d", false),
            ("app_id erp; app_id crm", false),
            ("01a20a25-46b9-7361-a013-9bc3295ebef1", true),
        ] {
            assert_eq!(is_of_others(subject, &origin), others, "{subject}");
        }
        // An id that is not in what is left of a list may have been in the list.
        let cut: String = "100 ids: a, ".chars().cycle().take(4_096).collect();
        assert!(!is_of_others(&cut, &origin));
        assert_eq!(among(&cut).len(), MAX_AMONG + " ...".len());
        assert_eq!(among("app_id crm"), "app_id crm");
    }

    #[test]
    fn an_entry_of_another_time_does_not_name_who_cancelled() {
        let id = "01a20a25-46b9-7361-a013-9bc3295ebef1";
        let entry = StoredAuditEntry {
            entry: journal::AuditEntry {
                occurred_at: 100_000,
                actor: "ann@desk".to_owned(),
                action: AuditAction::Cancel.as_str().to_owned(),
                subject: format!("2 ids: {id}, x"),
                reason: "wrong price".to_owned(),
                count: 2,
            },
            updated_at: 200_000,
        };
        for (at, expected) in [
            (89_999, false),
            (90_000, true),
            (210_000, true),
            (210_001, false),
        ] {
            assert_eq!(names(&entry, id, at), expected, "{at}");
        }
        assert!(!names(&entry, "01a20a26", 150_000));
    }
}
