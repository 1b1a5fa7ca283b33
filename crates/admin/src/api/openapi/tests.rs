//! The document agrees with the routes, the answers and the committed files.

use std::collections::BTreeSet;

use contract::Language;
use serde_json::{Value, json};

use super::operations::OPERATIONS;
use super::{ENDPOINTS, document};
use crate::api::process_view::{AttemptsView, OthersView, SeenBy, SeenPage, TargetsView};
use crate::api::view::{ItemsPage, UnreadablePage};

const COMMITTED: [(Language, &str); 2] = [
    (
        Language::English,
        include_str!("../../../../../docs/reference/openapi-operators.json"),
    ),
    (
        Language::Chinese,
        include_str!("../../../../../docs/reference/openapi-operators.zh-CN.json"),
    ),
];

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_committed_documents_are_what_is_served() {
    for (language, committed) in COMMITTED {
        let served = match language {
            Language::English => super::english(),
            Language::Chinese => super::chinese(),
        };
        assert!(
            committed.as_bytes() == served,
            "write it anew: ringback openapi operators [--lang zh] > docs/reference/openapi-operators[.zh-CN].json"
        );
    }
}

/// Descriptions without a Chinese word.
fn english_descriptions(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => {
                        let is_chinese = text
                            .chars()
                            .any(|char| ('\u{4e00}'..='\u{9fff}').contains(&char));
                        if !is_chinese {
                            found.insert(text.clone());
                        }
                    }
                    other => english_descriptions(other, found),
                }
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| english_descriptions(item, found)),
        _ => {}
    }
}

#[test]
fn the_chinese_document_has_no_english_description() {
    let mut found = BTreeSet::new();
    english_descriptions(&document(Language::Chinese), &mut found);
    // Names alone.
    found.retain(|text| !text.starts_with('`') || text.contains(": "));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn it_is_a_document_of_openapi_3_1() {
    for (language, _) in COMMITTED {
        let read: utoipa::openapi::OpenApi = serde_json::from_value(document(language)).unwrap();
        assert_eq!(read.info.version, "1");
    }
}

#[test]
fn every_route_is_in_the_document_and_the_reverse() {
    for endpoint in &ENDPOINTS {
        let of_it = OPERATIONS.iter().filter(|doc| doc.is_of(endpoint)).count();
        assert_eq!(of_it, 1, "{} {}", endpoint.method, endpoint.path);
    }
    assert_eq!(OPERATIONS.len(), ENDPOINTS.len());
    let ids: BTreeSet<&str> = OPERATIONS.iter().map(|doc| doc.id).collect();
    assert_eq!(ids.len(), OPERATIONS.len(), "an operationId is there twice");
    let document = document(Language::English);
    let operations = document["paths"].as_object().unwrap().values();
    let count: usize = operations.map(|item| keys(item).len()).sum();
    assert_eq!(count, ENDPOINTS.len());
}

#[test]
fn every_reference_leads_to_a_schema() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.insert(reference.clone());
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document(Language::English);
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        let schema = document.pointer(pointer);
        assert!(
            schema.is_some_and(|schema| *schema != json!({})),
            "{reference}"
        );
    }
}

#[test]
fn the_schemas_of_lists_have_the_keys_of_real_ones() {
    let page = || ItemsPage::<u8> {
        items: Vec::new(),
        next: None,
    };
    let seen = || SeenPage::<u8> {
        page: page(),
        seen_by: SeenBy::default(),
        warnings: Vec::new(),
    };
    let targets = TargetsView {
        seen: SeenPage {
            page: ItemsPage {
                items: Vec::new(),
                next: None,
            },
            seen_by: SeenBy::default(),
            warnings: Vec::new(),
        },
        others: OthersView { count: 0 },
    };
    let attempts = AttemptsView {
        seen: SeenPage {
            page: ItemsPage {
                items: Vec::new(),
                next: None,
            },
            seen_by: SeenBy::default(),
            warnings: Vec::new(),
        },
        left_out: false,
    };
    let unreadable = UnreadablePage {
        page: ItemsPage {
            items: Vec::new(),
            next: None,
        },
        waiting: 0,
    };
    let value = |value: Result<Value, _>| value.unwrap();
    let document = document(Language::English);
    for (path, real) in [
        ("/admin/v1/audit", value(serde_json::to_value(page()))),
        ("/admin/v1/apps", value(serde_json::to_value(seen()))),
        ("/admin/v1/targets", value(serde_json::to_value(targets))),
        ("/admin/v1/attempts", value(serde_json::to_value(attempts))),
        (
            "/admin/v1/unreadable",
            value(serde_json::to_value(unreadable)),
        ),
    ] {
        let answer = &document["paths"][path]["get"]["responses"]["200"];
        let schema = &answer["content"]["application/json"]["schema"];
        let mut described = keys(&schema["properties"]);
        described.remove("switches");
        assert_eq!(described, keys(&real), "{path}");
    }
}
