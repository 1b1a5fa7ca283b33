//! Success responses.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use dispatcher::PauseRegistry;
use runtime::http::json_line;
use serde::Serialize;

use super::error::ApiError;
use super::view::PauseView;

/// What a handler returns.
pub(super) type ApiResponse = Result<HttpResponse, ApiError>;

/// 200 with a JSON body, and a line end after it.
pub(super) fn ok(body: &impl Serialize) -> ApiResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    Ok(json_line(&mut response, body))
}

/// 200 with a list, and the switches in force, if there are any.
pub(super) fn ok_list(list: &impl Serialize, pauses: &PauseRegistry) -> ApiResponse {
    #[derive(Serialize)]
    struct ListWithSwitches<'a, T> {
        #[serde(flatten)]
        list: &'a T,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        switches: Vec<PauseView>,
    }
    let switches = pauses.switches().into_iter().map(PauseView::from);
    ok(&ListWithSwitches {
        list,
        switches: switches.collect(),
    })
}
