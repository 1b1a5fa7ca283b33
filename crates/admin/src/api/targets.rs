//! `/admin/v1/targets`: the callees and targets, as all processes see them together.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::control::Ask;
use delivery::limits::LimitKey;
use journal::{Journal, WaitingDestination};
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;
use super::merge_targets::merge;
use super::process_view::{OthersView, SeenPage, TargetView, TargetsView, UnfinishedView};
use super::processes::{named, seen_by};
use super::query_params;
use super::response::{ApiResponse, ok_list};
use super::state::AdminState;
use super::view::ItemsPage;
use crate::doctor::said::Said;

/// For reading what waits for the targets of a page. What is not read by then is unknown.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How many callbacks of a target are counted, of each status.
const MAX_COUNTED: u32 = 100_000;

/// `GET /admin/v1/targets`
///
/// The cursor is a rank: targets that change places between two requests may be listed twice or
/// not at all.
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let page = query_params::page(http.query_string(), |text| text.parse().ok())?;
    let offset: usize = page.after.unwrap_or(0);
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let view = ranked(&state, (offset, limit), |_| {}).await?;
    ok_list(&view, &state.pauses)
}

/// What all processes see of all targets, without what the journal holds.
pub(crate) async fn seen(state: &AdminState) -> Vec<TargetView> {
    let (seen, names) = named(&state.control, Ask::Targets).await;
    merge(&seen, &names).0
}

/// The targets from this rank on, busiest first unless `sort` changes their order.
pub(crate) async fn ranked(
    state: &AdminState,
    (offset, limit): (usize, usize),
    sort: impl FnOnce(&mut [TargetView]),
) -> Result<TargetsView, ApiError> {
    let (seen, names) = named(&state.control, Ask::Targets).await;
    let seen_by = seen_by(&seen);
    let warnings = seen_by.warnings();
    let (mut all, unlisted) = merge(&seen, &names);
    sort(&mut all);
    let behind = all.len().saturating_sub(offset.saturating_add(limit));
    let mut items: Vec<TargetView> = all.into_iter().skip(offset).take(limit).collect();
    let registry = state.callee_registry.get();
    for item in &mut items {
        let callee = item.callee_no.as_ref().and_then(|no| registry.find(no));
        item.name = callee.and_then(|callee| callee.name.clone());
        item.paused = key_of(item).is_some_and(|key| state.pauses.is_paused(&key));
    }
    if let Some(journal) = state.journal.clone() {
        let reading = async move {
            read_unfinished(&journal, &mut items).await;
            Ok(items)
        };
        items = state.run(reading).await?;
    }
    let next = (behind > 0).then(|| offset.saturating_add(items.len()).to_string());
    Ok(TargetsView {
        seen: SeenPage {
            page: ItemsPage { items, next },
            seen_by,
            warnings,
        },
        others: OthersView {
            count: u64::try_from(behind)
                .unwrap_or(u64::MAX)
                .saturating_add(unlisted),
        },
    })
}

/// One callee or target.
pub(crate) struct OneTarget {
    /// What the processes have seen of it; `None`: none has called it since it started.
    pub(crate) seen: Option<TargetView>,
    /// What the journal holds for it; `None`: unknown.
    pub(crate) unfinished: Option<UnfinishedView>,
    pub(crate) name: Option<String>,
    pub(crate) warnings: Vec<Said>,
}

/// What all processes see of a callee or target, and what waits for it.
pub(crate) async fn one(state: &AdminState, key: &LimitKey) -> Result<OneTarget, ApiError> {
    let (answers, names) = named(&state.control, Ask::Targets).await;
    let warnings = seen_by(&answers).warnings();
    let (all, _) = merge(&answers, &names);
    let mut seen = all.into_iter().find(|it| key_of(it).as_ref() == Some(key));
    let (name, destination) = match key {
        LimitKey::Callee(no) => {
            let registry = state.callee_registry.get();
            let name = registry.find(no).and_then(|callee| callee.name.clone());
            (name, WaitingDestination::Callee(no.to_string()))
        }
        LimitKey::Target(target) => (None, WaitingDestination::Target(target.to_string())),
    };
    if let Some(seen) = &mut seen {
        seen.paused = state.pauses.is_paused(key);
    }
    let unfinished = match state.journal.clone() {
        None => None,
        Some(journal) => {
            let reading = async move {
                let deadline = Instant::now() + JOURNAL_TIMEOUT;
                Ok(unfinished(&journal, &destination, deadline).await)
            };
            state.run(reading).await?
        }
    };
    Ok(OneTarget {
        seen,
        unfinished,
        name,
        warnings,
    })
}

/// What the journal holds for this destination, if it answers in time.
async fn unfinished(
    journal: &Journal,
    destination: &WaitingDestination,
    deadline: Instant,
) -> Option<UnfinishedView> {
    let reading = journal.waiting(destination, MAX_COUNTED);
    let waiting = timeout_at(deadline, reading).await.ok()?.ok()?;
    Some(UnfinishedView {
        count: waiting.count,
        at_least: waiting.count >= u64::from(MAX_COUNTED),
        oldest_accepted_at: waiting.oldest_accepted_at,
        next_attempt_at: waiting.next_attempt_at,
    })
}

fn key_of(item: &TargetView) -> Option<LimitKey> {
    match (&item.callee_no, &item.target) {
        (Some(no), _) => Some(LimitKey::Callee(no.as_str().into())),
        (None, Some(target)) => LimitKey::parse(target).ok(),
        (None, None) => None,
    }
}

/// Reads what the journal holds for these targets, as far as it answers in time.
async fn read_unfinished(journal: &Journal, items: &mut [TargetView]) {
    let deadline = Instant::now() + JOURNAL_TIMEOUT;
    for item in items {
        let destination = match (&item.callee_no, &item.target) {
            (Some(no), _) => WaitingDestination::Callee(no.clone()),
            (None, Some(target)) => WaitingDestination::Target(target.clone()),
            (None, None) => continue,
        };
        item.unfinished = unfinished(journal, &destination, deadline).await;
        if item.unfinished.is_none() {
            return;
        }
    }
}
