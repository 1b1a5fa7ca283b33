//! Links within the console that have a query string.

use url::form_urlencoded::{Serializer, parse};

/// What a query string has besides the conditions of a filter.
pub(super) const NOT_OF_A_FILTER: [&str; 6] = ["after", "limit", "by", "rate", "sent", "look"];

/// The path with these parameters.
pub(super) fn to(path: &str, parameters: &[(&str, &str)]) -> String {
    joined(path, &with("", parameters))
}

/// The path with this query string.
pub(super) fn joined(path: &str, query: &str) -> String {
    match query {
        "" => path.to_owned(),
        _ => format!("{path}?{query}"),
    }
}

/// The conditions of a filter in a query string, with these in place of those of the same name.
pub(super) fn with(query: &str, conditions: &[(&str, &str)]) -> String {
    let mut kept = Serializer::new(String::new());
    for (key, value) in parse(query.as_bytes()) {
        let is_replaced = conditions.iter().any(|(name, _)| *name == key);
        if !is_replaced && !NOT_OF_A_FILTER.contains(&&*key) && !value.trim().is_empty() {
            kept.append_pair(&key, value.trim());
        }
    }
    for (key, value) in conditions {
        kept.append_pair(key, value);
    }
    kept.finish()
}

/// The conditions that are none of these fields of a form.
pub(super) fn others(query: &str, fields: &[&str]) -> Vec<(String, String)> {
    let all = parse(query.as_bytes());
    let others = all.filter(|(key, value)| {
        !fields.contains(&&**key) && !NOT_OF_A_FILTER.contains(&&**key) && !value.trim().is_empty()
    });
    others
        .map(|(key, value)| (key.into_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_kept_and_narrowed() {
        let query = "app_id=a+b&after=7&limit=50&by=hour&status=&reason=exhausted";
        assert_eq!(with(query, &[]), "app_id=a+b&reason=exhausted");
        assert_eq!(
            with(query, &[("reason", "rejected"), ("target", "https://x:1")]),
            "app_id=a+b&reason=rejected&target=https%3A%2F%2Fx%3A1"
        );
        assert_eq!(
            others(query, &["app_id"]),
            [("reason".to_owned(), "exhausted".to_owned())]
        );
        assert_eq!(to("/console/x", &[]), "/console/x");
        assert_eq!(to("/console/x", &[("a", "&")]), "/console/x?a=%26");
    }
}
