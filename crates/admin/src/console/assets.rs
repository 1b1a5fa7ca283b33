//! The style sheet and the icon, from the binary.

use actix_web::HttpResponse;

pub(super) const STYLE: &str = "/console/style.css";
pub(super) const ICON: &str = "/console/icon.svg";

/// Whether this is served to everybody: it says nothing of the gateway.
pub(super) fn is_asset(path: &str) -> bool {
    matches!(path, STYLE | ICON)
}

/// `GET /console/style.css`
pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(include_str!("style.css"))
}

/// `GET /console/icon.svg`
pub(super) async fn icon() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("image/svg+xml")
        .body(include_str!("icon.svg"))
}
