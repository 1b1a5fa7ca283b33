//! The nesting depth of a JSON text.

/// The maximum nesting that is accepted; the top-level object is level 1.
pub(super) const MAX_DEPTH: usize = 64;

/// Whether a JSON text is nested deeper than `max` levels.
///
/// Needed because serde_json's own limit does not count inside a `RawValue`. Brackets inside
/// strings do not count. The text need not be valid JSON.
pub(super) fn is_deeper_than(max: usize, json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    false
}

/// Advances past the closing quote, or to the end if there is none.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => _ = bytes.next(),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_deeper_than;

    #[test]
    fn depth_is_counted_outside_strings() {
        for (json, depth) in [
            ("", 0),
            ("7", 0),
            ("{}", 1),
            ("[[]]", 2),
            (r#"{"a":[1,{"b":2}],"c":[]}"#, 3),
            ("[][][]", 1),
            (r#"["[[[[", "]"]"#, 1),
            (r#"["\"[[", []]"#, 2),
            (r#"["\\", [[]]]"#, 3),
            ("]]]][", 1),
            (r#"["[[["#, 1),
            (r#"["\"#, 1),
        ] {
            assert!(
                !is_deeper_than(depth, json.as_bytes()),
                "{json} is at most {depth} deep"
            );
            if let Some(less) = depth.checked_sub(1) {
                assert!(
                    is_deeper_than(less, json.as_bytes()),
                    "{json} is deeper than {less}"
                );
            }
        }
    }
}
