//! The paths of the callers' listener, and the methods of each.

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, guard};
use runtime::http::{API_DOCUMENT_PATH, API_PAGE_PATH, API_PAGE_PATTERN};

use super::{accept, api_docs, cancel, fallback, query};
use crate::state::AppState;

/// A method, and what answers it.
type MethodHandler = (Method, fn() -> Route);

/// A path and its methods. `HEAD` is there where `GET` is, and `OPTIONS` everywhere.
struct CallerPath {
    path: &'static str,
    methods: &'static [MethodHandler],
    /// Whether it is of the page, which is served only by setting, and no part of the API.
    is_page: bool,
}

/// Every path of the callers' API, and then those of its page.
static PATHS: [CallerPath; 5] = [
    CallerPath {
        path: "/api/callback",
        methods: &[(Method::POST, || web::to(accept::accept))],
        is_page: false,
    },
    CallerPath {
        path: "/api/callback/{request_id}",
        methods: &[
            (Method::GET, || web::to(query::query)),
            (Method::DELETE, || web::to(cancel::cancel)),
        ],
        is_page: false,
    },
    CallerPath {
        path: API_DOCUMENT_PATH,
        methods: &[(Method::GET, || web::to(api_docs::document))],
        is_page: false,
    },
    CallerPath {
        path: API_PAGE_PATH,
        methods: &[(Method::GET, || web::to(api_docs::redirect))],
        is_page: true,
    },
    CallerPath {
        path: API_PAGE_PATTERN,
        methods: &[(Method::GET, || web::to(api_docs::page_file))],
        is_page: true,
    },
];

impl CallerPath {
    /// The value of `Allow`.
    fn allow(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (method, _) in self.methods {
            names.push(method.as_str());
            if method == Method::GET {
                names.push("HEAD");
            }
        }
        names.push("OPTIONS");
        names.join(", ")
    }

    fn resource(&'static self) -> Resource {
        let not_allowed = move |state: web::Data<AppState>, http_request: HttpRequest| async move {
            fallback::method_not_allowed(&state, &http_request, &self.allow())
        };
        let mut resource = web::resource(self.path).default_service(web::to(not_allowed));
        for (method, handler) in self.methods {
            let is_get = method == Method::GET;
            let route = match is_get {
                // The server leaves the body of a HEAD's answer out.
                true => handler().guard(guard::Any(guard::Get()).or(guard::Head())),
                false => handler().method(method.clone()),
            };
            resource = resource.route(route);
        }
        let options = move || async move {
            HttpResponse::NoContent()
                .insert_header((ALLOW, self.allow()))
                .finish()
        };
        resource.route(web::method(Method::OPTIONS).to(options))
    }
}

/// Adds the paths to an actix application; those of the page with `has_page`.
pub(super) fn register(config: &mut ServiceConfig, has_page: bool) {
    for path in PATHS.iter().filter(|path| has_page || !path.is_page) {
        config.service(path.resource());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_the_reverse() {
        let document: serde_json::Value =
            serde_json::from_slice(&crate::openapi::english()).unwrap();
        let mut routes: BTreeSet<(String, String)> = BTreeSet::new();
        for path in PATHS.iter().filter(|path| !path.is_page) {
            for (method, _) in path.methods {
                routes.insert((path.path.to_owned(), method.as_str().to_lowercase()));
            }
        }
        // Of `runtime`, on every listener of callers.
        for path in ["/healthz", "/readyz"] {
            routes.insert((path.to_owned(), "get".to_owned()));
        }
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                if method != "parameters" {
                    described.insert((path.clone(), method.clone()));
                }
            }
        }
        assert_eq!(described, routes);
    }
}
