//! `/admin/v1/targets`: the targets of the dispatcher in this process.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::TargetsView;

/// `GET /admin/v1/targets`
///
/// The cursor is a rank: targets that change places between two requests may be listed twice or
/// not at all.
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let page = query_params::page(http.query_string(), |text| text.parse().ok())?;
    let offset: usize = page.after.unwrap_or(0);
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let top = state.targets.top(offset.saturating_add(limit));
    let is_paused = |key: &_| state.targets.is_paused(key);
    ok(&TargetsView::of(&top, offset, is_paused))
}
