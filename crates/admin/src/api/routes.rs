//! The table of all routes.

use std::fmt::Write as _;

use actix_web::http::Method;
use actix_web::http::header::{ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CACHE_CONTROL};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route, guard};

use super::body::MAX_BODY_BYTES;
use super::error::{ApiError, ProblemCode};
use super::response::ApiResponse;
use super::{
    apps, attempts, audit, bulk, callbacks, dead_letters, doctor, guard as guard_question, holders,
    instances, pauses, payload, reload, stats, targets, unreadable,
};
use crate::config::Role;

/// One method of one path.
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) role: Role,
    /// For the reference.
    pub(super) summary: &'static str,
    handler: fn() -> Route,
}

/// Every endpoint. If several paths match, the first one counts.
pub(super) static ENDPOINTS: [Endpoint; 32] = [
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/callbacks",
        role: Role::Read,
        summary: "List callbacks, newest first",
        handler: || web::to(callbacks::list),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/callbacks/retry-now",
        role: Role::Replay,
        summary: "Retry callbacks that wait now",
        handler: || web::to(bulk::retry_now),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/callbacks/cancel",
        role: Role::Replay,
        summary: "Cancel callbacks that wait",
        handler: || web::to(bulk::cancel),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/callbacks/replay",
        role: Role::Replay,
        summary: "Replay callbacks that have ended",
        handler: || web::to(bulk::replay),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/callbacks/erase",
        role: Role::Configure,
        summary: "Erase the personal data of callbacks that have ended",
        handler: || web::to(bulk::erase),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/callbacks/{id}",
        role: Role::Read,
        summary: "Show a callback with its attempts",
        handler: || web::to(callbacks::show),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/callbacks/{id}/cancel",
        role: Role::Replay,
        summary: "Cancel a callback",
        handler: || web::to(callbacks::cancel),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/callbacks/{id}/holders",
        role: Role::Read,
        summary: "Say which processes hold a callback in memory",
        handler: || web::to(holders::list),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/callbacks/{id}/payload",
        role: Role::Payload,
        summary: "Show the message of a callback, and what targets answered",
        handler: || web::to(payload::show),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/dead-letters",
        role: Role::Read,
        summary: "List dead letters, newest first",
        handler: || web::to(dead_letters::list),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/dead-letters/replay",
        role: Role::Replay,
        summary: "Replay dead letters",
        handler: || web::to(dead_letters::replay),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/dead-letters/discard",
        role: Role::Replay,
        summary: "Discard dead letters",
        handler: || web::to(dead_letters::discard),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/dead-letters/reconcile",
        role: Role::Replay,
        summary: "Reconcile the dead-letter queue with the journal",
        handler: || web::to(dead_letters::reconcile),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/dead-letters/{id}",
        role: Role::Read,
        summary: "Show a dead letter with its attempts",
        handler: || web::to(dead_letters::show),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/expedite",
        role: Role::Replay,
        summary: "Retry all that waits for a callee or target now: it is back",
        handler: || web::to(bulk::expedite::expedite),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/recover",
        role: Role::Configure,
        summary: "Recover what waits after the broker lost its messages",
        handler: || web::to(bulk::recover),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/pauses",
        role: Role::Read,
        summary: "List the pauses in force, oldest first",
        handler: || web::to(pauses::list),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/pauses",
        role: Role::Configure,
        summary: "Pause a callee, target, app or message type, or stop intake or deliveries",
        handler: || web::to(pauses::pause),
    },
    Endpoint {
        method: Method::DELETE,
        path: "/admin/v1/pauses",
        role: Role::Configure,
        summary: "End a pause",
        handler: || web::to(pauses::resume),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/instances",
        role: Role::Read,
        summary: "List the processes of the gateway",
        handler: || web::to(instances::list),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/reload",
        role: Role::Configure,
        summary: "Make every process read its settings and secrets again",
        handler: || web::to(reload::reload),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/unreadable",
        role: Role::Read,
        summary: "List the oldest unreadable messages, and why they cannot be decoded",
        handler: || web::to(unreadable::list),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/unreadable/requeue",
        role: Role::Replay,
        summary: "Put unreadable messages back into their queue",
        handler: || web::to(unreadable::requeue),
    },
    Endpoint {
        method: Method::POST,
        path: "/admin/v1/unreadable/discard",
        role: Role::Replay,
        summary: "Remove unreadable messages for good",
        handler: || web::to(unreadable::discard),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/unreadable/{id}",
        role: Role::Payload,
        summary: "Show an unreadable message with its first bytes",
        handler: || web::to(unreadable::show),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/targets",
        role: Role::Read,
        summary: "List the callees and targets of all processes, busiest first",
        handler: || web::to(targets::list),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/apps",
        role: Role::Read,
        summary: "List the apps of all processes, those with the most requests first",
        handler: || web::to(apps::list),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/stats",
        role: Role::Read,
        summary: "Show what happened in a time: of all callbacks, or of one callee, target or app",
        handler: || web::to(stats::show),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/attempts",
        role: Role::Read,
        summary: "List the attempts that ended a moment ago, in all processes",
        handler: || web::to(attempts::list),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/audit",
        role: Role::Read,
        summary: "List the audit log, newest first",
        handler: || web::to(audit::list),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/doctor",
        role: Role::Read,
        summary: "Check whether all is well, as far as this process knows",
        handler: || web::to(doctor::show),
    },
    Endpoint {
        method: Method::GET,
        path: "/admin/v1/guard",
        role: Role::Read,
        summary: "Say whether a URL or a callee may be called, and by which rule",
        handler: || web::to(guard_question::judge),
    },
];

/// A route for GET and HEAD; the server leaves the body of a HEAD's answer out.
pub(super) fn read(route: Route) -> Route {
    route.guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// The answer to `OPTIONS`.
pub(super) fn allowed(methods: &str) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ALLOW, methods))
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish()
}

/// Registers all routes.
pub(super) fn configure(service: &mut ServiceConfig) {
    service.app_data(web::PayloadConfig::new(MAX_BODY_BYTES));
    let mut paths: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
    paths.dedup(); // The methods of a path are adjacent in the table.
    for path in paths {
        let mut resource = web::resource(path).default_service(web::to(method_not_allowed));
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.path == path) {
            let route = (endpoint.handler)();
            resource = resource.route(match endpoint.method {
                Method::GET => read(route),
                _ => route.method(endpoint.method.clone()),
            });
        }
        let options = web::method(Method::OPTIONS).to(options);
        resource = resource.route(options);
        service.service(resource);
    }
    service.default_service(web::to(unknown_route));
}

async fn unknown_route(http: HttpRequest) -> ApiResponse {
    let sentence = format!("there is no {} {}", http.method(), http.path());
    Err(ApiError::rejected(
        ProblemCode::UnknownRoute,
        sentence.into(),
    ))
}

async fn method_not_allowed(http: HttpRequest) -> ApiResponse {
    Err(ApiError::MethodNotAllowed(methods(&http)))
}

/// A browser that asks for a page of another origin is refused: no page has access.
async fn options(http: HttpRequest) -> ApiResponse {
    match http.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        true => Err(ApiError::MethodNotAllowed(methods(&http))),
        false => Ok(allowed(&methods(&http))),
    }
}

/// The methods of the path that a request matches.
fn methods(http: &HttpRequest) -> String {
    let pattern = http.match_pattern();
    let endpoints = ENDPOINTS
        .iter()
        .filter(|endpoint| Some(endpoint.path) == pattern.as_deref());
    let mut methods: Vec<&str> = Vec::new();
    for endpoint in endpoints {
        methods.push(endpoint.method.as_str());
        if endpoint.method == Method::GET {
            methods.push("HEAD");
        }
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

/// The role that a request needs, by its method and the path pattern that it matches. A known path
/// answers any role which methods it supports. A request for an unknown path needs the role
/// `configure`, unless it only reads.
pub(super) fn required_role(method: &Method, pattern: Option<&str>) -> Role {
    let is_of = |endpoint: &Endpoint| {
        // The same is read, without its body.
        let is_head = *method == Method::HEAD && endpoint.method == Method::GET;
        endpoint.method == *method || is_head
    };
    let matches = |endpoint: &&Endpoint| is_of(endpoint) && Some(endpoint.path) == pattern;
    match ENDPOINTS.iter().find(matches) {
        Some(endpoint) => endpoint.role,
        None if ENDPOINTS.iter().any(|it| Some(it.path) == pattern) => Role::Read,
        None if method == Method::GET || method == Method::HEAD => Role::Read,
        None => Role::Configure,
    }
}

/// Whether a handler answers this method of the path pattern.
pub(super) fn is_supported(method: &Method, pattern: Option<&str>) -> bool {
    let mut endpoints = ENDPOINTS.iter();
    endpoints.any(|endpoint| endpoint.method == *method && Some(endpoint.path) == pattern)
}

/// The routes as a Markdown table, for `docs/reference/operators-api.md`.
#[must_use]
pub fn routes_table() -> String {
    let mut table = "| route | role | |\n|---|---|---|\n".to_owned();
    for endpoint in &ENDPOINTS {
        let Endpoint {
            method,
            path,
            role,
            summary,
            ..
        } = endpoint;
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{method} {path}` | `{role}` | {summary} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::ProblemCode;

    const REFERENCE: &str = include_str!("../../../../docs/reference/operators-api.md");

    #[test]
    fn the_reference_lists_every_route_and_error_code() {
        let (_, rest) = REFERENCE
            .split_once("<!-- generated: operators-routes -->\n")
            .unwrap();
        let (table, _) = rest.split_once("<!-- end -->").unwrap();
        assert_eq!(table.trim(), routes_table().trim());
        for code in ProblemCode::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status().as_u16());
            assert!(REFERENCE.contains(&row), "{row}");
        }
    }

    #[test]
    fn a_request_for_an_unknown_path_needs_the_role_configure_unless_it_reads() {
        for (method, pattern, role) in [
            (Method::GET, Some("/admin/v1/dead-letters"), Role::Read),
            (Method::GET, Some("/admin/v1/audit"), Role::Read),
            (
                Method::POST,
                Some("/admin/v1/dead-letters/replay"),
                Role::Replay,
            ),
            (
                Method::POST,
                Some("/admin/v1/callbacks/{id}/cancel"),
                Role::Replay,
            ),
            (Method::POST, Some("/admin/v1/pauses"), Role::Configure),
            (Method::PUT, Some("/admin/v1/dead-letters"), Role::Read),
            (Method::OPTIONS, Some("/admin/v1/pauses"), Role::Read),
            (
                Method::HEAD,
                Some("/admin/v1/callbacks/{id}/payload"),
                Role::Payload,
            ),
            (Method::HEAD, Some("/admin/v1/audit"), Role::Read),
            (Method::PUT, None, Role::Configure),
            (Method::DELETE, None, Role::Configure),
            (Method::HEAD, None, Role::Read),
        ] {
            assert_eq!(
                required_role(&method, pattern),
                role,
                "{method} {pattern:?}"
            );
        }
    }
}
