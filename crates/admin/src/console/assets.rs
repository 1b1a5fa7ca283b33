//! The style sheet, the icon and the scripts, from the binary.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};

use super::page;
use super::visit::Visit;
use crate::api::error::{ApiError, ProblemCode};
use crate::doctor::said::say;

const STYLE: &str = "/console/style.css";
const ICON: &str = "/console/icon.svg";

/// A script file. Scripts are served as files alone: the policy of all pages allows no other.
struct Script {
    /// Without `.js`.
    name: &'static str,
    text: &'static str,
    /// Whether the name has the version: then a browser may keep it.
    has_version: bool,
}

/// Ours, and those of others as their authors published them on npm (`vendor/`, with their licences).
const SCRIPTS: [Script; 3] = [
    Script {
        name: "console",
        text: include_str!("console.js"),
        has_version: false,
    },
    Script {
        name: "htmx-2.0.11",
        text: include_str!("vendor/htmx-2.0.11.min.js"),
        has_version: true,
    },
    Script {
        name: "htmx-ext-sse-2.2.4",
        text: include_str!("vendor/htmx-ext-sse-2.2.4.min.js"),
        has_version: true,
    },
];

/// Whether this is served to everybody: it says nothing of the gateway.
pub(super) fn is_asset(path: &str) -> bool {
    let script = path
        .strip_prefix("/console/")
        .and_then(|path| path.strip_suffix(".js"));
    matches!(path, STYLE | ICON) || script.is_some_and(|name| find(name).is_some())
}

fn find(name: &str) -> Option<&'static Script> {
    SCRIPTS.iter().find(|script| script.name == name)
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

/// `GET /console/{name}.js`
pub(super) async fn script(http: HttpRequest, name: Path<String>) -> HttpResponse {
    let Some(script) = find(&name) else {
        let sentence = say!("there is no page {0}", "没有页面 {0}", http.path());
        let problem = ApiError::rejected(ProblemCode::UnknownRoute, sentence);
        return page::error(&Visit::of(&http), &problem);
    };
    let mut response = HttpResponse::Ok();
    response.content_type("text/javascript; charset=utf-8");
    if script.has_version {
        response.insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"));
    }
    response.body(script.text)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn scripts_of_others_are_as_they_were_published_and_have_their_licences() {
        for (name, sum) in [
            (
                "htmx-2.0.11",
                "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
            ),
            (
                "htmx-ext-sse-2.2.4",
                "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
            ),
        ] {
            let script = find(name).unwrap();
            let digest = Sha256::digest(script.text.as_bytes());
            let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, sum, "{name}");
            let licence = format!("src/console/vendor/{name}.LICENSE");
            let licence = std::fs::read_to_string(licence).unwrap();
            assert!(licence.contains("THE SOFTWARE IS PROVIDED"), "{name}");
        }
    }

    #[test]
    fn only_what_is_listed_is_an_asset() {
        for path in [
            STYLE,
            ICON,
            "/console/console.js",
            "/console/htmx-2.0.11.js",
        ] {
            assert!(is_asset(path), "{path}");
        }
        for path in [
            "/console/",
            "/console/live.js",
            "/console/callbacks/x.js",
            "/console.js",
            "/console/.js",
        ] {
            assert!(!is_asset(path), "{path}");
        }
    }
}
