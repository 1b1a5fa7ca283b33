//! The escaper of all templates: no text of a stranger can become markup, reverse the line or hide.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};
use runtime::text;

/// Escapes HTML, and shows control and format characters as escapes such as `\u{202e}`.
#[derive(Clone, Copy)]
pub(crate) struct Inert;

impl Escaper for Inert {
    fn write_escaped_str<W: Write>(&self, dest: W, string: &str) -> fmt::Result {
        Html.write_escaped_str(dest, &text::lines(string))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_characters_that_act_are_shown_as_text() {
        let mut written = String::new();
        let hostile = "<script a='b' c=\"d\">&\u{202e}\u{0}\r\n乐居";
        Inert.write_escaped_str(&mut written, hostile).unwrap();
        assert!(
            !written.contains(['<', '>', '"', '\'', '\u{202e}', '\u{0}', '\r']),
            "{written}"
        );
        assert!(written.ends_with("\n乐居"), "{written}");
        assert!(written.contains(r"\u{202e}"), "{written}");
    }
}
