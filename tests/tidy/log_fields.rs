//! The fields of log events, as the sources name them.

use std::collections::BTreeSet;

/// The fields of all events in a source file: what stands before `=`, and what is logged by its name.
pub(crate) fn log_fields(source: &str) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for level in ["trace", "debug", "info", "warn", "error"] {
        for (at, opening) in source.match_indices(&format!("tracing::{level}!(")) {
            let arguments = arguments(&source[at + opening.len()..]);
            fields.extend(arguments.iter().filter_map(|it| field(it)));
        }
    }
    fields
}

/// The arguments of a call that has been opened, up to its end.
fn arguments(source: &str) -> Vec<String> {
    let (mut arguments, mut current) = (Vec::new(), String::new());
    let (mut depth, mut in_text) = (0, false);
    let mut chars = source.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' if in_text => drop(chars.next()),
            '"' => in_text = !in_text,
            _ if in_text => {}
            '/' if chars.peek() == Some(&'/') => while chars.next_if(|it| *it != '\n').is_some() {},
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ')' => break,
            ',' if depth == 0 => {
                arguments.push(std::mem::take(&mut current));
                continue;
            }
            _ => {}
        }
        current.push(char);
    }
    arguments.push(current);
    arguments
}

/// The name of the field that an argument sets. `None`: it is the message, or the event's `target`.
fn field(argument: &str) -> Option<String> {
    let argument = argument.trim_start_matches('/').trim();
    let argument = argument.trim_start_matches(['%', '?']);
    let end = argument.find(|char: char| !(char.is_ascii_lowercase() || "_.".contains(char)));
    let (name, rest) = argument.split_at(end.unwrap_or(argument.len()));
    let rest = rest.trim_start();
    let is_field = rest.is_empty() || rest.starts_with('=');
    (is_field && !name.is_empty()).then(|| name.rsplit('.').next().unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_value_by_name_and_among_comments() {
        let source = r#"
            tracing::info!(
                // Documented.
                target: "a::b",
                request_id = %message.id(1, "x,y)"),
                %error, ?kind, count,
                message.attempt,
                "text {count}, more"
            );
            tracing::warn!("only, text");
            other!(hidden = 1);
        "#;
        let fields: Vec<String> = log_fields(source).into_iter().collect();
        assert_eq!(fields, ["attempt", "count", "error", "kind", "request_id"]);
    }
}
