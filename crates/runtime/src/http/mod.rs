//! HTTP/1 servers on actix-web whose connections, heads and bodies are bounded, and the health and
//! metrics pages.
//!
//! - `listener.rs`: binds an address and serves an actix application on it. Start here.
//! - `head_timeout/`: the stream of a connection, with a deadline for every request head
//! - `hold_body.rs`: the middleware that every served application must wrap itself in
//! - `shrink_headers.rs`: frees header capacity that a request does not use
//! - `body.rs`: reads a JSON request body within a size and a time limit
//! - `health_routes.rs`: `/healthz`, `/readyz`, `/metrics`, and a small server for them

mod body;
mod head_timeout;
mod health_routes;
mod hold_body;
mod listener;
mod shrink_headers;

#[cfg(test)]
mod tests;

pub use body::{BodyError, BodyLimits, read_json};
pub use health_routes::{health_routes, serve_health};
pub use hold_body::hold_body;
pub use listener::{ServeOptions, cannot_listen, listen, serve};
