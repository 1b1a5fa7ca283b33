//! Makes untrusted text safe for a terminal.

/// The text as one line without control characters.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}
