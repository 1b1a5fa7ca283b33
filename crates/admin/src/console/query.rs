//! Query strings of the console's forms.

use url::form_urlencoded::{Serializer, parse};

/// The longest value of a form's field that is looked at, in bytes.
const MAX_VALUE_BYTES: usize = 2_048;

/// The value of this field, if it is not blank.
pub(super) fn value(query: &str, key: &str) -> Option<String> {
    let found = parse(query.as_bytes()).find(|(name, _)| name == key);
    let value = found.map(|(_, value)| value.trim().to_owned());
    value.filter(|value| !value.is_empty() && value.len() <= MAX_VALUE_BYTES)
}

/// The query string of the API: without the fields that were left empty, and with this limit.
pub(super) fn of_list(query: &str, limit: u32) -> String {
    let mut kept = Serializer::new(String::new());
    for (key, value) in parse(query.as_bytes()) {
        if key != "limit" && !value.trim().is_empty() {
            kept.append_pair(&key, value.trim());
        }
    }
    kept.append_pair("limit", &limit.to_string());
    kept.finish()
}

/// The same list, from another place on; without one, from its beginning.
pub(super) fn page_after(query: &str, after: Option<&str>) -> String {
    let mut kept = Serializer::new(String::new());
    for (key, value) in parse(query.as_bytes()) {
        if key != "after" && !value.trim().is_empty() {
            kept.append_pair(&key, value.trim());
        }
    }
    if let Some(after) = after {
        kept.append_pair("after", after);
    }
    kept.finish()
}

/// A path of the console that a sign-in may lead to, if the text is one: never another site.
pub(super) fn own_path(text: &str) -> Option<&str> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (text.starts_with("/console/") && is_plain && text.len() <= MAX_VALUE_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_of_a_form_are_left_out() {
        let query = "app_id=&status=dead&target=+https%3A%2F%2Fa+&limit=9";
        assert_eq!(
            of_list(query, 50),
            "status=dead&target=https%3A%2F%2Fa&limit=50"
        );
        assert_eq!(
            page_after("app_id=a&after=1", Some("2")),
            "app_id=a&after=2"
        );
        assert_eq!(page_after("app_id=a&after=1", None), "app_id=a");
        assert_eq!(value(query, "target").as_deref(), Some("https://a"));
        assert_eq!(value(query, "app_id"), None);
    }

    #[test]
    fn a_sign_in_leads_to_no_other_site() {
        assert_eq!(
            own_path("/console/targets?a=b"),
            Some("/console/targets?a=b")
        );
        for foreign in [
            "https://evil.example/console/",
            "//evil.example",
            "/console",
            "/console.evil/",
            "/console/\\evil",
            "/console/\r\nset-cookie: a=b",
            "/admin/v1/reload",
            "",
        ] {
            assert_eq!(own_path(foreign), None, "{foreign}");
        }
    }
}
