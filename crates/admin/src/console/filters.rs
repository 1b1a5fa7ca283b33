//! Filters of the templates.

#![expect(
    unreachable_pub,
    reason = "the macro makes a public type of each filter"
)]

use std::fmt::{Display, Write as _};

use askama::filters::{Escaper as _, Html, Safe};
use askama::{Result, Values};

use runtime::text;

use super::inert::Inert;

/// What stands in backticks as `<code>`; everything is escaped.
#[askama::filter_fn]
pub(super) fn code(sentence: impl Display, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(marked(&sentence.to_string())?))
}

/// The value of a field that nobody sees: the browser sends back what it was, character by character, and
/// the source of the page has none that acts. U+0000 cannot stand in HTML.
#[askama::filter_fn]
pub(super) fn sent_back(value: impl Display, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(referenced(&value.to_string())?))
}

/// With references such as `&#x202e;` for characters that act.
fn referenced(value: &str) -> Result<String> {
    let mut html = String::with_capacity(value.len() + 16);
    for char in value.chars() {
        match text::is_unsafe(char) {
            true => write!(html, "&#x{:x};", u32::from(char))?,
            false => Html.write_escaped_str(&mut html, char.encode_utf8(&mut [0; 4]))?,
        }
    }
    Ok(html)
}

/// A backtick without a second one stays as it is.
fn marked(sentence: &str) -> Result<String> {
    let mut html = String::with_capacity(sentence.len() + 16);
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((inner, behind)) = after.split_once('`') else {
            break;
        };
        Inert.write_escaped_str(&mut html, before)?;
        html.push_str("<code>");
        Inert.write_escaped_str(&mut html, inner)?;
        html.push_str("</code>");
        rest = behind;
    }
    Inert.write_escaped_str(&mut html, rest)?;
    Ok(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_value_is_sent_back_as_it_was_and_is_no_markup() {
        assert_eq!(
            referenced("a\u{202e}b\"<'&>乐\n").unwrap(),
            "a&#x202e;b&#34;&#60;&#39;&#38;&#62;乐&#xa;"
        );
    }

    #[test]
    fn what_stands_in_backticks_is_code_and_nothing_is_markup() {
        for (sentence, html) in [
            (
                "run `ringback doctor` now",
                "run <code>ringback doctor</code> now",
            ),
            (
                "`a` and `<b>`",
                "<code>a</code> and <code>&#60;b&#62;</code>",
            ),
            ("one ` alone <i>", "one ` alone &#60;i&#62;"),
            ("``", "<code></code>"),
            ("", ""),
        ] {
            assert_eq!(marked(sentence).unwrap(), html, "{sentence}");
        }
    }
}
