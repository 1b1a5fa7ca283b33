//! What is kept of a target's answer: the beginning of its body as text.
//!
//! It is masked here, before it travels: see `mask.rs`.

mod mask;

use crate::policy::success_rule::charset::readings;
use journal::TargetAnswer;
pub(super) use mask::mask;
use runtime::text::{lines, one_line};

/// How much of a body is read and kept.
pub(super) const MAX_ANSWER: usize = 4 * 1024;
/// How much of a content type is kept.
const MAX_CONTENT_TYPE: usize = 128;

/// The answer as it is kept; `None` if there is nothing to show.
pub(super) fn kept_answer(
    body: &[u8],
    content_type: Option<&str>,
    is_compressed: bool,
) -> Option<TargetAnswer> {
    if body.is_empty() {
        return None;
    }
    let text = if is_compressed {
        "(the body is compressed)".to_owned()
    } else {
        let body = body.get(..MAX_ANSWER).unwrap_or(body);
        let text = decoded(whole_characters(body), content_type);
        truncated(&lines(&mask(&text)), MAX_ANSWER).to_owned()
    };
    let content_type = content_type.map(|value| {
        let value = one_line(value);
        truncated(&value, MAX_CONTENT_TYPE).to_owned()
    });
    Some(TargetAnswer { content_type, text })
}

/// The likeliest reading that knows every byte, or else the likeliest one.
fn decoded(body: &[u8], content_type: Option<&str>) -> String {
    let known = readings(body, content_type).find(|text| !text.contains('\u{fffd}'));
    let text = known.or_else(|| readings(body, content_type).next());
    text.unwrap_or_default().into_owned()
}

/// The body without a part of a UTF-8 character at its end, where it was cut.
fn whole_characters(body: &[u8]) -> &[u8] {
    match str::from_utf8(body) {
        Err(error) if error.error_len().is_none() => {
            body.get(..error.valid_up_to()).unwrap_or(body)
        }
        Ok(_) | Err(_) => body,
    }
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn truncated(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &[u8], content_type: Option<&str>) -> String {
        kept_answer(body, content_type, false).unwrap().text
    }

    #[test]
    fn an_answer_is_kept_as_text_in_its_charset() {
        assert_eq!(text("系统维护中".as_bytes(), None), "系统维护中");
        let gbk = [0xcf, 0xb5, 0xcd, 0xb3, 0xce, 0xac, 0xbb, 0xa4];
        assert_eq!(text(&gbk, Some("text/html; charset=GBK")), "系统维护");
        // Its first half alone would be UTF-8, too.
        assert_eq!(text(&gbk, None), "系统维护");
        let kept = kept_answer(b"busy", Some("text/plain\t;x"), false).unwrap();
        assert_eq!(kept.content_type.as_deref(), Some("text/plain ;x"));
        assert_eq!(kept_answer(b"", Some("text/plain"), false), None);
        let compressed = kept_answer(&[31, 139], None, true).unwrap();
        assert_eq!(compressed.text, "(the body is compressed)");
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(
            text("a\n\u{1b}[2J\u{202e}b".as_bytes(), None),
            "a\n\\u{1b}[2J\\u{202e}b"
        );
    }

    #[test]
    fn at_most_4_kib_are_kept_and_no_part_of_a_character() {
        let long = "文".repeat(MAX_ANSWER);
        let kept = text(long.as_bytes(), None);
        assert_eq!(kept.len(), MAX_ANSWER / 3 * 3);
        assert!(kept.chars().all(|char| char == '文'));
        let controls = text("\u{1}".repeat(MAX_ANSWER).as_bytes(), None);
        assert!(controls.len() <= MAX_ANSWER);
    }
}
