//! The OpenAPI document of a listener in two languages, and the page that shows it.
//!
//! The page is Swagger UI, whose files are in the binary, 1.8 MB. It loads nothing from elsewhere.

use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use bytes::Bytes;

/// Where a listener serves its document.
pub const API_DOCUMENT_PATH: &str = "/openapi.json";
/// Where it serves the page: the pattern of its files.
pub const API_PAGE_PATTERN: &str = "/api-docs/{file:.*}";
/// The same without the last slash, which leads there.
pub const API_PAGE_PATH: &str = "/api-docs";

/// Scripts of the page alone; styles also inline, because Swagger UI writes them so. The page asks
/// the listener that it came from, and nobody else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A document in two languages, made at the first request for it.
#[derive(Debug)]
pub struct ApiDocument {
    english: fn() -> Vec<u8>,
    chinese: fn() -> Vec<u8>,
    made: [OnceLock<Bytes>; 2],
}

impl ApiDocument {
    /// The document that these functions make.
    #[must_use]
    pub const fn new(english: fn() -> Vec<u8>, chinese: fn() -> Vec<u8>) -> Self {
        Self {
            english,
            chinese,
            made: [OnceLock::new(), OnceLock::new()],
        }
    }

    /// The answer to a request with this query string (`lang=zh` or `lang=en`) or, without `lang`, with this
    /// `Accept-Language`. English is the default.
    #[must_use]
    pub fn respond(&self, query: &str, accept_language: Option<&str>) -> HttpResponse {
        let asked = query.split('&').find_map(|pair| pair.strip_prefix("lang="));
        let is_chinese = match asked {
            Some(language) => language.starts_with("zh"),
            None => accept_language.is_some_and(prefers_chinese),
        };
        let (index, make, language) = match is_chinese {
            true => (1, self.chinese, "zh"),
            false => (0, self.english, "en"),
        };
        let body = self.made[index].get_or_init(|| make().into()).clone();
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header((CONTENT_TYPE, "application/json"))
            .insert_header(("content-language", language))
            .insert_header((VARY, "accept-language"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(body)
    }
}

/// Whether Chinese stands before English, by weight and then by place.
fn prefers_chinese(accept_language: &str) -> bool {
    let (mut chinese, mut english) = (0.0, 0.0);
    for item in accept_language.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let weight: f32 = weight.map_or(1.0, |text| text.parse().unwrap_or(0.0));
        let is = |language: &str| {
            tag.strip_prefix(language)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        if is("zh") && chinese < weight && english < weight {
            chinese = weight;
        } else if is("en") && english < weight && chinese < weight {
            (english, chinese) = (weight, 0.0);
        }
    }
    chinese > 0.0
}

/// The files of the page: name, media type, bytes. Those of Swagger UI are unpacked by the build.
const FILES: [(&str, &str, &[u8]); 6] = [
    ("", "text/html; charset=utf-8", PAGE.as_bytes()),
    (
        "api-docs.js",
        "text/javascript; charset=utf-8",
        SCRIPT.as_bytes(),
    ),
    (
        "favicon-32x32.png",
        "image/png",
        include_bytes!(concat!(env!("OUT_DIR"), "/favicon-32x32.png")),
    ),
    (
        "swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js")),
    ),
    (
        "swagger-ui-standalone-preset.js",
        "text/javascript; charset=utf-8",
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-standalone-preset.js")),
    ),
    (
        "swagger-ui.css",
        "text/css; charset=utf-8",
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css")),
    ),
];

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Ringback API</title>
<link rel="stylesheet" href="swagger-ui.css">
<link rel="icon" type="image/png" href="favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="swagger-ui-bundle.js"></script>
<script src="swagger-ui-standalone-preset.js"></script>
<script src="api-docs.js"></script>
</body>
</html>
"#;

/// Without the validator: it would send the document's address elsewhere.
const SCRIPT: &str = r##"window.onload = () => SwaggerUIBundle({
  urls: [
    { name: "English", url: "../openapi.json?lang=en" },
    { name: "中文", url: "../openapi.json?lang=zh" },
  ],
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  queryConfigEnabled: false,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
});
"##;

/// A file of the page, by its name below the page's path; the empty name is the page itself.
#[must_use]
pub fn api_page_file(name: &str) -> HttpResponse {
    let mut files = FILES.iter();
    let Some((_, media_type, bytes)) = files.find(|(known, ..)| *known == name) else {
        return HttpResponse::NotFound().finish();
    };
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, *media_type))
        .body(*bytes);
    guard(response.headers_mut());
    response
}

/// Leads from the path without a slash to the page: its files are named relative to it.
#[must_use]
pub fn api_page_redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "api-docs/"))
        .finish()
}

fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn text(response: HttpResponse) -> String {
        let body = to_bytes(response.into_body()).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_document_is_english_unless_chinese_is_asked_for() {
        let document = ApiDocument::new(|| b"{\"a\":1}".to_vec(), || b"{\"b\":2}".to_vec());
        for (query, accepted, body, language) in [
            ("", None, "{\"a\":1}", "en"),
            ("lang=en", None, "{\"a\":1}", "en"),
            ("lang=zh", None, "{\"b\":2}", "zh"),
            ("x=1&lang=zh-CN", None, "{\"b\":2}", "zh"),
            ("", Some("zh-CN,zh;q=0.9,en;q=0.8"), "{\"b\":2}", "zh"),
            ("", Some("en-US,en;q=0.9,zh;q=0.8"), "{\"a\":1}", "en"),
            ("", Some("en;q=0.5, zh"), "{\"b\":2}", "zh"),
            ("", Some("fr, *;q=0.1"), "{\"a\":1}", "en"),
            ("lang=en", Some("zh"), "{\"a\":1}", "en"),
            ("lang=zh", Some("en"), "{\"b\":2}", "zh"),
        ] {
            let response = document.respond(query, accepted);
            assert_eq!(
                response.headers().get("content-language").unwrap(),
                language
            );
            assert_eq!(text(response).await, body, "{query}");
        }
    }

    #[tokio::test]
    async fn the_page_names_no_other_host_and_no_validator() {
        let page = api_page_file("");
        let policy = page.headers().get(CONTENT_SECURITY_POLICY).unwrap().clone();
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'"));
        let page = text(page).await;
        for attribute in ["src=\"", "href=\""] {
            for reference in page.split(attribute).skip(1) {
                let reference = reference.split('"').next().unwrap();
                assert!(!reference.contains("//"), "{reference}");
                let response = api_page_file(reference);
                assert_eq!(response.status(), 200, "{reference}");
            }
        }
        let script = text(api_page_file("api-docs.js")).await;
        assert!(script.contains("validatorUrl: null"), "{script}");
        assert!(script.contains("../openapi.json?lang=zh"), "{script}");
        assert_eq!(api_page_file("../Cargo.toml").status(), 404);
    }
}
