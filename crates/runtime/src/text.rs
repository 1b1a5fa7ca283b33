//! Makes strangers' text safe to read: on a terminal, in a log, in a table.
//!
//! Control and format characters can move the cursor, hide text or reverse its direction. They are
//! shown as escapes; nothing else is changed.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters of the general categories Cf (format), Zl and Zp (separators of lines and paragraphs)
/// of Unicode 16.0, `extracted/DerivedGeneralCategory.txt`. Among them are the bidirectional
/// controls (U+202A to 202E, U+2066 to 2069), the zero-width characters and the tags. Cc, the
/// controls, is `char::is_control`.
const FORMAT: [(u32, u32); 23] = [
    (0x00ad, 0x00ad),
    (0x0600, 0x0605),
    (0x061c, 0x061c),
    (0x06dd, 0x06dd),
    (0x070f, 0x070f),
    (0x0890, 0x0891),
    (0x08e2, 0x08e2),
    (0x180e, 0x180e),
    (0x200b, 0x200f),
    (0x2028, 0x2029),
    (0x202a, 0x202e),
    (0x2060, 0x2064),
    (0x2066, 0x206f),
    (0xfeff, 0xfeff),
    (0xfff9, 0xfffb),
    (0x1_10bd, 0x1_10bd),
    (0x1_10cd, 0x1_10cd),
    (0x1_3430, 0x1_343f),
    (0x1_bca0, 0x1_bca3),
    (0x1_d173, 0x1_d17a),
    (0xe_0001, 0xe_0001),
    (0xe_0020, 0xe_007f),
    // Not Cf, but drawn as nothing and used to hide text: the interlinear Hangul filler.
    (0x3164, 0x3164),
];

/// Whether a terminal or a viewer may act on this character instead of showing it.
#[must_use]
pub fn is_unsafe(char: char) -> bool {
    let code = u32::from(char);
    char.is_control()
        || (code >= 0xad
            && FORMAT
                .iter()
                .any(|&(first, last)| (first..=last).contains(&code)))
}

/// The text as one line: line ends and tabs become spaces, other unsafe characters escapes like
/// `\u{202e}`.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    replace(text, is_unsafe, |char, safe| match char {
        '\n' | '\r' | '\t' => safe.push(' '),
        other => push_escape(other, safe),
    })
}

/// The text with its line ends and tabs, and escapes like `\u{202e}` for other unsafe characters.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    let is_escaped = |char| is_unsafe(char) && !matches!(char, '\n' | '\t');
    replace(text, is_escaped, push_escape)
}

/// JSON with escapes like `\u202e` for unsafe characters: to a parser it is the same. Between its
/// tokens only line ends and tabs are kept.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    let is_escaped = |char| is_unsafe(char) && !matches!(char, '\n' | '\t');
    replace(text, is_escaped, |char, safe| {
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(safe, "\\u{unit:04x}");
        }
    })
}

fn push_escape(char: char, safe: &mut String) {
    safe.extend(char.escape_unicode());
}

fn replace(
    text: &str,
    is_replaced: impl Fn(char) -> bool,
    push: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let Some(first) = text.find(&is_replaced) else {
        return Cow::Borrowed(text);
    };
    let (clean, rest) = text.split_at(first);
    let mut safe = String::with_capacity(text.len() + 16);
    safe.push_str(clean);
    for char in rest.chars() {
        match is_replaced(char) {
            true => push(char, &mut safe),
            false => safe.push(char),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranges of the reports, with a neighbour on each side that is text.
    const UNSAFE: [(u32, u32); 10] = [
        (0x00, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x61c, 0x61c),
        (0x200b, 0x200f),
        (0x2028, 0x2029),
        (0x202a, 0x202e),
        (0x2066, 0x206f),
        (0xfeff, 0xfeff),
        (0xe_0020, 0xe_007f),
    ];

    #[test]
    fn control_and_format_characters_are_unsafe_and_their_neighbours_are_text() {
        for (first, last) in UNSAFE {
            for code in first..=last {
                assert!(is_unsafe(char::from_u32(code).unwrap()), "U+{code:04X}");
            }
        }
        for code in [
            0x20, 0x7e, 0xa0, 0xac, 0xae, 0x61b, 0x61d, 0x200a, 0x2010, 0x2027, 0x202f, 0x2065,
            0x2070, 0xfefe, 0xff00, 0x4e50, 0x1_f600,
        ] {
            assert!(!is_unsafe(char::from_u32(code).unwrap()), "U+{code:04X}");
        }
    }

    #[test]
    fn no_unsafe_character_is_left_and_all_others_are() {
        for code in 0..=0x10_ffff {
            let Some(char) = char::from_u32(code) else {
                continue; // A surrogate.
            };
            let text = format!("a{char}乐");
            for (safe, kept) in [
                (one_line(&text), ""),
                (lines(&text), "\n\t"),
                (json(&text), "\n\t"),
            ] {
                let left = safe
                    .chars()
                    .any(|char| is_unsafe(char) && !kept.contains(char));
                assert!(!left, "U+{code:04X}: {safe:?}");
                if !is_unsafe(char) {
                    assert_eq!(safe, text);
                }
            }
        }
    }

    #[test]
    fn unsafe_characters_are_shown_as_escapes() {
        let text = "a\nb\tc\rd\u{1b}[2J\u{202e}e\u{85}";
        assert_eq!(one_line(text), "a b c d\\u{1b}[2J\\u{202e}e\\u{85}");
        assert_eq!(lines(text), "a\nb\tc\\u{d}d\\u{1b}[2J\\u{202e}e\\u{85}");
        assert!(matches!(one_line("乐居 ok"), Cow::Borrowed("乐居 ok")));
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = serde_json::json!({"a\u{202e}": "x\u{1b}\u{7f}\u{85}\u{e0041}\u{feff}乐", "b": [1, "\n"]});
        let text = value.to_string();
        let safe = json(&text);
        assert!(!safe.chars().any(is_unsafe), "{safe}");
        assert!(
            safe.contains("\\u202e") && safe.contains("\\udb40\\udc41"),
            "{safe}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }
}
