//! Filters of the templates.

#![expect(
    unreachable_pub,
    reason = "the macro makes a public type of each filter"
)]

use std::fmt::Display;

use askama::filters::{Escaper as _, Safe};
use askama::{Result, Values};

use super::inert::Inert;

/// What stands in backticks as `<code>`; everything is escaped.
#[askama::filter_fn]
pub(super) fn code(sentence: impl Display, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(marked(&sentence.to_string())?))
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
