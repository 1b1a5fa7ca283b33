//! Rust source without comments, literals and test code, and the files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below a directory, without hidden ones and build output.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
            if hidden || path.ends_with("target") || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The code of a file: comments and literals are blanked, items under `#[cfg(test)]` are removed.
pub(crate) fn code(source: &str) -> String {
    without_test_items(&without_comments_and_literals(source))
}

/// Replaces comments, string literals and character literals by spaces; keeps line breaks.
pub(crate) fn without_comments_and_literals(source: &str) -> String {
    let text: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < text.len() {
        let end = match text[at] {
            '/' if text.get(at + 1) == Some(&'/') => line_end(&text, at),
            '/' if text.get(at + 1) == Some(&'*') => block_comment_end(&text, at),
            '"' => string_end(&text, at),
            '\'' => char_end(&text, at),
            'r' | 'b' | 'c' if !is_word(at.checked_sub(1).map(|before| text[before])) => {
                prefixed_string_end(&text, at)
            }
            _ => at,
        };
        if end == at {
            out.push(text[at]);
            at += 1;
            continue;
        }
        let blanked = text[at..end].iter();
        out.extend(blanked.map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

fn is_word(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}

fn line_end(text: &[char], at: usize) -> usize {
    let length = text[at..].iter().position(|letter| *letter == '\n');
    length.map_or(text.len(), |length| at + length)
}

fn block_comment_end(text: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string_end(text: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The end of `'x'` or `'\n'`; `start` for a lifetime.
fn char_end(text: &[char], start: usize) -> usize {
    match (text.get(start + 1), text.get(start + 2)) {
        (Some('\\'), _) => {
            let rest = &text[(start + 3).min(text.len())..];
            let length = rest.iter().position(|letter| *letter == '\'');
            length.map_or(text.len(), |length| start + 4 + length)
        }
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

/// The end of `b"..."`, `r#"..."#`, `br"..."` or `b'x'`; `start` if there is none.
fn prefixed_string_end(text: &[char], start: usize) -> usize {
    let mut at = start;
    while at < text.len() && at < start + 2 && matches!(text[at], 'r' | 'b' | 'c') {
        at += 1;
    }
    let raw = text[start..at].contains(&'r');
    let hashes = text[at..].iter().take_while(|letter| **letter == '#');
    let hashes = hashes.count();
    match text.get(at + hashes) {
        Some('"') if raw => {
            let mut end = at + hashes + 1;
            while end < text.len() {
                let closed = text[end] == '"'
                    && text.len() > end + hashes
                    && text[end + 1..=end + hashes].iter().all(|it| *it == '#');
                end += 1;
                if closed {
                    return end + hashes;
                }
            }
            text.len()
        }
        Some('"') if hashes == 0 => string_end(text, at),
        Some('\'') if hashes == 0 && text[start..at] == ['b'] => char_end(text, at),
        _ => start,
    }
}

/// Removes every item that is compiled for tests alone.
fn without_test_items(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let attribute = attribute_length(from);
        if !is_for_tests(&from[..attribute]) {
            out.push_str(&from[..attribute]);
            rest = &from[attribute..];
            continue;
        }
        rest = &from[item_length(from)..];
    }
    out.push_str(rest);
    out
}

fn is_for_tests(attribute: &str) -> bool {
    let condition = attribute.replace(' ', "");
    condition.starts_with("#[cfg(test)]") || condition.starts_with("#[cfg(all(test")
}

fn attribute_length(text: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// The length of an item with the attributes before it: up to its semicolon or its closing brace.
fn item_length(text: &str) -> usize {
    let mut at = 0;
    while text[at..].trim_start().starts_with("#[") {
        at += text[at..].find("#[").unwrap_or_default();
        at += attribute_length(&text[at..]);
    }
    let mut depth = 0_u32;
    for (offset, letter) in text[at..].char_indices() {
        match letter {
            ';' if depth == 0 => return at + offset + 1,
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && letter == '}' {
                    return at + offset + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_literals_and_test_items_are_removed() {
        let source = r####"
            //! crate::a
            /* crate::b /* nested */ */
            fn f<'a>(x: &'a str) -> char { g("crate::c \" '"); '"' }
            const R: &str = r#"crate::d " "#; const B: &[u8] = b"crate::e"; const Q: char = '\'';
            #[cfg(test)]
            #[expect(x)]
            mod tests { use crate::f; fn g() { if true {} } }
            #[cfg(test)]
            mod more;
            #[cfg(feature = "x")]
            mod kept;
            fn h() { crate::kept::i(); }
        "####;
        let code = code(source);
        for gone in ["a", "b", "c", "d", "e", "f"] {
            assert!(!code.contains(&format!("crate::{gone}")), "{gone}: {code}");
        }
        assert!(!code.contains("more") && !code.contains("nested"), "{code}");
        for kept in [
            "mod kept;",
            "crate::kept::i()",
            "fn f<'a>(x: &'a str)",
            "const Q",
        ] {
            assert!(code.contains(kept), "{kept}: {code}");
        }
        assert_eq!(code.matches('{').count(), code.matches('}').count());
    }
}
