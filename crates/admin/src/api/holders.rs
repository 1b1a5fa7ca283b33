//! `/admin/v1/callbacks/{id}/holders`: which processes hold a callback in memory now.

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use contract::control::{Ask, ControlAnswerBody};

use super::process_view::{HolderView, SeenPage};
use super::processes::{name_of, named, seen_by};
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::ItemsPage;

/// `GET /admin/v1/callbacks/{id}/holders`
pub(super) async fn list(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
) -> ApiResponse {
    query_params::only(http.query_string(), &[])?;
    let id = state.request_id(&id).await?;
    let (answers, names) = named(&state.control, Ask::Held(id)).await;
    let seen_by = seen_by(&answers);
    let warnings = seen_by.warnings();
    let holders = answers.answers.into_iter().filter_map(|answer| {
        let ControlAnswerBody::Held(Some(held)) = answer.body else {
            return None;
        };
        Some(HolderView {
            process: name_of(&names, answer.from),
            since: held.since,
            queue: held.queue,
            attempt: held.attempt,
            in_flight: held.in_flight,
        })
    });
    ok(&SeenPage {
        page: ItemsPage {
            items: holders.collect(),
            next: None,
        },
        seen_by,
        warnings,
    })
}
