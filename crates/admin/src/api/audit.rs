//! The audit log: who did what, why, and to how many callbacks.

use actix_web::HttpRequest;
use actix_web::web::Data;
use journal::{AuditCursor, AuditEntry, Journal, MAX_AUDIT_SUBJECT};
use runtime::clock::now_ms;

use super::bulk_request::Actor;
use super::error::ApiError;
use super::query_params;
use super::response::{ApiResponse, ok_list};
use super::state::AdminState;
use super::view::{AuditView, ItemsPage};

/// What an operator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuditAction {
    Replay,
    Discard,
    Cancel,
    RetryNow,
    Expedite,
    Recover,
    Erase,
    Pause,
    Resume,
    Reload,
    RequeueUnreadable,
    DiscardUnreadable,
    /// At a message, or at what targets answered.
    Look,
    /// Of an operation, before it was done.
    Stop,
}

impl AuditAction {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Cancel => "cancel",
            Self::RetryNow => "retry_now",
            Self::Expedite => "expedite",
            Self::Recover => "recover",
            Self::Erase => "erase",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Reload => "reload",
            Self::RequeueUnreadable => "requeue_unreadable",
            Self::DiscardUnreadable => "discard_unreadable",
            Self::Look => "look",
            Self::Stop => "stop",
        }
    }
}

/// Writes an entry for a completed action, or adds to the entry of its operation. If that fails, the
/// entry is in the process's log.
pub(super) async fn record(
    journal: Option<&Journal>,
    action: AuditAction,
    subject: String,
    actor: Actor,
    count: usize,
) {
    let operation = actor.operation;
    let entry = entry(action, &subject, actor, count);
    log(&entry, "admin action completed");
    let Some(journal) = journal else { return };
    let appended = match operation {
        None => journal.append_audit(&entry).await,
        Some(operation) => {
            let operation = operation.to_string();
            journal.append_audit_part(&entry, &operation).await
        }
    };
    if let Err(error) = appended {
        tracing::error!(%error, ?entry, "failed to write an audit entry");
    }
}

/// Writes the entry of a look, before anything is shown. Without a journal it is in the process's log
/// alone.
///
/// # Errors
/// The entry cannot be written: nothing may be shown.
pub(super) async fn record_look(
    journal: Option<&Journal>,
    subject: &str,
    actor: Actor,
) -> Result<(), ApiError> {
    let entry = entry(AuditAction::Look, subject, actor, 1);
    if let Some(journal) = journal {
        journal.append_audit(&entry).await?;
    }
    log(&entry, "payload shown to an operator");
    Ok(())
}

fn entry(action: AuditAction, subject: &str, actor: Actor, count: usize) -> AuditEntry {
    AuditEntry {
        occurred_at: now_ms(),
        actor: actor.name,
        action: action.as_str().to_owned(),
        subject: subject.chars().take(MAX_AUDIT_SUBJECT).collect(),
        reason: actor.reason,
        count: u64::try_from(count).unwrap_or(u64::MAX),
    }
}

fn log(entry: &AuditEntry, message: &'static str) {
    let AuditEntry {
        actor,
        action,
        subject,
        reason,
        count,
        ..
    } = entry;
    tracing::info!(actor, action, subject, reason, count, "{message}");
}

/// `GET /admin/v1/audit`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let page = page(&state, http.query_string()).await?;
    ok_list(&page, &state.pauses)
}

/// The page that a query string asks for.
pub(crate) async fn page(
    state: &AdminState,
    query: &str,
) -> Result<ItemsPage<AuditView>, ApiError> {
    let page = query_params::page(query, parse_cursor)?;
    let journal = state.journal()?;
    let found = state.run(async move { Ok(journal.audit_log(page.after, page.limit).await?) });
    let found = found.await?;
    Ok(ItemsPage {
        items: found.entries.into_iter().map(AuditView::from).collect(),
        next: found.next.map(cursor_text),
    })
}

/// A cursor as text: `1763900000000-7`.
fn parse_cursor(text: &str) -> Option<AuditCursor> {
    let (occurred_at, id) = text.split_once('-')?;
    Some(AuditCursor {
        occurred_at: occurred_at.parse().ok()?,
        id: id.parse().ok()?,
    })
}

fn cursor_text(cursor: AuditCursor) -> String {
    format!("{}-{}", cursor.occurred_at, cursor.id)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::tests::{ApiFixture, all_pages};

    #[tokio::test]
    async fn every_entry_is_on_exactly_one_page() {
        let fixture = ApiFixture::new().await;
        let client = fixture.serve(None, true);
        let mut written = Vec::new();
        // Many entries share a millisecond.
        for number in 0..23_u64 {
            let entry = AuditEntry {
                occurred_at: 1_763_900_000_000 + number / 6,
                actor: "me@here".to_owned(),
                action: "replay".to_owned(),
                subject: number.to_string(),
                reason: "test".to_owned(),
                count: 1,
            };
            fixture.journal.append_audit(&entry).await.unwrap();
            written.push(entry.subject);
        }
        written.reverse();
        for limit in [1, 5, 7, 23, 100] {
            let found = all_pages(&client, &format!("/admin/v1/audit?limit={limit}")).await;
            let found: Vec<&str> = found
                .iter()
                .map(|entry| entry["subject"].as_str().unwrap())
                .collect();
            assert_eq!(found, written, "{limit}");
        }
        drop(client);
        fixture.close().await;
    }

    #[tokio::test]
    async fn the_requests_of_one_command_are_one_entry_with_the_whole_filter() {
        let fixture = ApiFixture::new().await;
        let client = fixture.serve(None, true);
        for _ in 0..5 {
            fixture.dead_letter("demo", "exhausted").await;
        }
        let target = format!("https://{}.example:443", "h".repeat(60));
        let filter = json!({"app_id": "demo", "reason": "exhausted"});
        let operation = uuid::Uuid::now_v7();
        let body = |filter: &Value| {
            json!({"filter": filter, "limit": 2, "actor": "ann", "reason": "repaired",
                "operation": operation})
        };
        for replayed in [2, 2, 1] {
            let (status, done) = client
                .post("/admin/v1/dead-letters/replay", body(&filter))
                .await;
            assert_eq!((status, &done["replayed"]), (200, &json!(replayed)));
        }
        let long = json!({"target": target, "since": "2026-01-01T00:00:00Z", "app_id": "demo"});
        client
            .post("/admin/v1/dead-letters/discard", body(&long))
            .await;
        let entries = all_pages(&client, "/admin/v1/audit").await;
        let [discard, replay] = entries.as_slice() else {
            panic!("{entries:?}");
        };
        assert_eq!(replay["count"], 5);
        assert_eq!(replay["subject"], "app_id demo, reason exhausted");
        assert!(replay["updated_at"].as_str() >= replay["occurred_at"].as_str());
        let subject = format!("app_id demo, target {target}, since 2026-01-01T00:00:00.000Z");
        assert_eq!(discard["subject"], subject);
        drop(client);
        fixture.close().await;
    }

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = AuditCursor {
            occurred_at: 1_763_900_000_000,
            id: 7,
        };
        assert_eq!(parse_cursor(&cursor_text(cursor)), Some(cursor));
        for text in ["", "1", "x-1", "1-x", "1-2-3", "-1-2"] {
            assert_eq!(parse_cursor(text), None, "{text}");
        }
    }
}
