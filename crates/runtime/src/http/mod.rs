//! HTTP/1 servers on actix-web whose connections, heads and bodies are bounded, and the health and
//! metrics pages.
//!
//! - `listener.rs`: binds an address and serves an actix application on it. Start here.
//!   `options.rs`: how.
//! - `limits.rs`: the bounds of all listeners. `connections.rs`: the open connections of one.
//!   `close_reason.rs`: why they end.
//! - `stream.rs`: the stream of a connection: one request at a time, and deadlines for the client
//! - `framing/`: where a request ends. `tracker.rs`: what the stream learns from the application.
//! - `hold_body.rs`: the middleware that every served application must wrap itself in
//! - `shrink_headers.rs`: frees header capacity that a request does not use
//! - `body.rs`: reads a JSON request body within a size and a time limit
//! - `json_line.rs`: JSON answers that end with a line end
//! - `api_page.rs`: the OpenAPI document of a listener, and the page that shows it
//! - `health_routes.rs`: `/healthz`, `/readyz`, `/metrics`, and a small server for them
//! - `config.rs`, `metrics.rs`: the settings and the metrics of listeners

mod api_page;
mod body;
mod close_reason;
mod config;
mod connections;
mod framing;
mod health_routes;
mod hold_body;
mod json_line;
mod limits;
mod listener;
mod metrics;
mod options;
mod shrink_headers;
mod stream;
mod tracker;

#[cfg(test)]
mod tests;

pub use api_page::{
    API_DOCUMENT_PATH, API_PAGE_PATH, API_PAGE_PATTERN, ApiDocument, api_page_file,
    api_page_redirect,
};
pub use body::{BodyError, BodyLimits, read_json};
pub use config::{HttpConfig, MetricsConfig, PeerRange};
pub use health_routes::{HealthPages, health_routes, serve_health};
pub use hold_body::hold_body;
pub use json_line::json_line;
pub use limits::HttpLimits;
pub use listener::{cannot_listen, listen, serve};
pub use options::{Audience, ServeOptions};
