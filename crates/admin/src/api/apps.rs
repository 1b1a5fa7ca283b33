//! `/admin/v1/apps`: the apps, as all processes see them together.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::control::{AppFigures, Ask, ControlAnswerBody};
use journal::UnfinishedCounts;

use super::process_view::{AppView, SeenPage};
use super::processes::seen_by;
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::ItemsPage;
use crate::control::Answers;
use crate::doctor::said::say;

/// For the counts of the journal. Without an answer by then they are unknown.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How many apps the journal lists: those with the most unfinished callbacks.
const MAX_UNFINISHED: u32 = 1_000;

/// `GET /admin/v1/apps`
///
/// The cursor is a rank, as that of the targets.
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let page = query_params::page(http.query_string(), |text| text.parse().ok())?;
    let offset: usize = page.after.unwrap_or(0);
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    ok(&ranked(&state, offset, limit).await)
}

/// The apps from this rank on.
pub(crate) async fn ranked(state: &AdminState, offset: usize, limit: usize) -> SeenPage<AppView> {
    let counts = async {
        let journal = state.journal.clone()?;
        let reading = state.run(async move {
            let counts = tokio::time::timeout(JOURNAL_TIMEOUT, journal.unfinished(MAX_UNFINISHED));
            Ok(counts.await.ok().and_then(Result::ok))
        });
        reading.await.ok().flatten()
    };
    let (answers, counts) = tokio::join!(state.control.ask(Ask::Apps), counts);
    let seen_by = seen_by(&answers);
    let mut warnings = seen_by.warnings();
    if counts.is_none() && state.journal.is_some() {
        warnings.push(say!(
            "the journal does not answer: unfinished callbacks are unknown",
            "回调记录库没有应答：未完成的回调数未知"
        ));
    }
    let all = merge(&answers, counts.as_ref());
    let rank = offset.saturating_add(limit);
    let next = (all.len() > rank).then(|| rank.to_string());
    let items = all.into_iter().skip(offset).take(limit).collect();
    SeenPage {
        page: ItemsPage { items, next },
        seen_by,
        warnings,
    }
}

/// The apps of all processes, those with the most requests first.
fn merge(answers: &Answers, counts: Option<&UnfinishedCounts>) -> Vec<AppView> {
    let mut apps: BTreeMap<&str, AppFigures> = BTreeMap::new();
    for answer in &answers.answers {
        if let ControlAnswerBody::Apps(seen) = &answer.body {
            for app in &seen.apps {
                apps.entry(&app.app_id).or_default().add(app);
            }
        }
    }
    let counted = counts.iter().flat_map(|counts| &counts.apps);
    let counted: BTreeMap<&str, (u64, u64)> = counted
        .map(|app| (&*app.app_id, (app.unfinished, app.waiting)))
        .collect();
    for app_id in counted.keys() {
        apps.entry(app_id).or_default();
    }
    // An app that is not among those with the most has few, or none.
    let is_whole = counts.is_some_and(|it| it.apps.len() < MAX_UNFINISHED as usize);
    let views = apps.into_iter().map(|(app_id, figures)| {
        let counts = counted.get(app_id).copied().or(is_whole.then_some((0, 0)));
        AppView {
            app_id: app_id.to_owned(),
            accepted: figures.accepted,
            refused: figures.refused,
            limited: figures.limited,
            in_flight: figures.in_flight,
            unfinished: counts.map(|(unfinished, _)| unfinished),
            waiting: counts.map(|(_, waiting)| waiting),
        }
    });
    let mut views: Vec<AppView> = views.collect();
    // Stable: the rest is in the order of the names.
    views.sort_by_key(|app| {
        let requests = app.accepted + app.refused + app.limited;
        std::cmp::Reverse((requests, app.unfinished, app.in_flight))
    });
    views
}

#[cfg(test)]
mod tests {
    use contract::control::AppsSeen;
    use journal::AppCount;
    use uuid::Uuid;

    use super::*;
    use crate::control::Answered;

    fn app(app_id: &str, accepted: u64, limited: u64, in_flight: u32) -> AppFigures {
        AppFigures {
            app_id: app_id.to_owned(),
            accepted,
            limited,
            in_flight,
            refused: 0,
        }
    }

    #[test]
    fn the_flooder_is_first_and_two_processes_add_up() {
        let seen = [
            vec![app("shop", 10, 0, 0), app("flooder", 3, 40, 0)],
            vec![app("flooder", 0, 0, 7), app("shop", 0, 0, 1)],
        ];
        let answers = (1..).zip(seen).map(|(number, apps)| Answered {
            from: Uuid::from_u128(number),
            body: ControlAnswerBody::Apps(AppsSeen {
                apps,
                ..AppsSeen::default()
            }),
            at: 0,
        });
        let answers = Answers {
            answers: answers.collect(),
            asked_at: 0,
            silent: Vec::new(),
            is_sent: true,
        };
        let counts = UnfinishedCounts {
            total: 9,
            waiting: 5,
            apps: vec![AppCount {
                app_id: "quiet".to_owned(),
                unfinished: 9,
                waiting: 5,
            }],
        };
        let found = merge(&answers, Some(&counts));
        let names: Vec<&str> = found.iter().map(|app| &*app.app_id).collect();
        assert_eq!(names, ["flooder", "shop", "quiet"]);
        let flooder = &found[0];
        assert_eq!(
            (flooder.accepted, flooder.limited, flooder.in_flight),
            (3, 40, 7)
        );
        assert_eq!(
            (flooder.unfinished, found[2].unfinished),
            (Some(0), Some(9))
        );
        assert_eq!(
            merge(&answers, None)[0].unfinished,
            None,
            "unknown is no zero"
        );
    }
}
