//! Finds the value at a JSON pointer, in text that need not be valid JSON throughout.
//!
//! On valid JSON it finds what `serde_json` finds. Beyond that it tolerates what targets send: control
//! characters and lone surrogates in strings, numbers out of range, text behind the document, and a
//! document that breaks off after the value. One pass, without recursion into what is skipped, so
//! neither depth nor length costs more than the reading.

use serde_json::Number;
use std::borrow::Cow;

/// A JSON pointer (RFC 6901), split into its unescaped steps.
#[derive(Debug)]
pub(super) struct Pointer(Vec<String>);

/// What is at the pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A string, or another scalar as text. Numbers are written as `serde_json` writes them.
    Scalar(String),
    /// An object or an array.
    Container,
}

/// Why there is nothing at the pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The text is empty or blank.
    Empty,
    /// The text does not begin with a JSON value.
    NotJson,
    /// The document breaks off, or ceases to be JSON, before a value at the pointer.
    Broken,
    /// The document is complete and has nothing at the pointer.
    NoValue,
}

impl Pointer {
    pub(super) fn new(text: &str) -> Self {
        let steps = text.split('/').skip(1);
        Self(
            steps
                .map(|step| step.replace("~1", "/").replace("~0", "~"))
                .collect(),
        )
    }

    /// Finds the value in the first JSON document of `text`. Of a key that is there twice the last
    /// one counts, as in `serde_json`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn find(&self, text: &str) -> Result<Found, Missing> {
        let mut scanner = Scanner {
            bytes: text.as_bytes(),
            at: 0,
            found: None,
        };
        scanner.skip_space();
        let is_word = || {
            let rest = text.trim_start();
            ["true", "false", "null"]
                .into_iter()
                .any(|word| rest.starts_with(word))
        };
        match scanner.peek() {
            None => return Err(Missing::Empty),
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9') => {}
            Some(_) if is_word() => {}
            Some(_) => return Err(Missing::NotJson),
        }
        let end = scanner.value(&self.0);
        match (scanner.found, end) {
            // A value was seen: what comes after it does not matter.
            (Some(found), _) => Ok(found),
            (None, Ok(())) => Err(Missing::NoValue),
            (None, Err(BrokenOff)) => Err(Missing::Broken),
        }
    }
}

/// The text ends, or is no JSON from here on.
#[derive(Debug)]
struct BrokenOff;

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    found: Option<Found>,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Skips space, and then this byte if it is next.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Reads a value, and looks in it for what the steps lead to. One level for each step of the
    /// pointer, which an operator has written.
    fn value(&mut self, steps: &[String]) -> Result<(), BrokenOff> {
        self.skip_space();
        let Some((step, rest)) = steps.split_first() else {
            self.found = None;
            self.found = Some(self.scalar_or_container()?);
            return Ok(());
        };
        match self.peek() {
            Some(b'{') => self.object(step, rest),
            Some(b'[') => self.array(step, rest),
            _ => self.skip(),
        }
    }

    fn object(&mut self, step: &str, rest: &[String]) -> Result<(), BrokenOff> {
        self.at += 1;
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            let leads_on = unescaped(key) == step;
            if !self.takes(b':') {
                return Err(BrokenOff);
            }
            if leads_on {
                // It replaces an earlier value of the same key.
                self.found = None;
                self.value(rest)?;
            } else {
                self.skip()?;
            }
            if !self.takes(b',') {
                return self.closed_by(b'}');
            }
        }
    }

    fn array(&mut self, step: &str, rest: &[String]) -> Result<(), BrokenOff> {
        let wanted = index(step);
        self.at += 1;
        if self.takes(b']') {
            return Ok(());
        }
        for position in 0_usize.. {
            if wanted == Some(position) {
                self.value(rest)?;
            } else {
                self.skip()?;
            }
            if !self.takes(b',') {
                break;
            }
        }
        self.closed_by(b']')
    }

    fn closed_by(&mut self, byte: u8) -> Result<(), BrokenOff> {
        self.takes(byte).then_some(()).ok_or(BrokenOff)
    }

    fn scalar_or_container(&mut self) -> Result<Found, BrokenOff> {
        match self.peek() {
            Some(b'"') => Ok(Found::Scalar(unescaped(self.string()?).into_owned())),
            Some(b'{' | b'[') => {
                self.skip()?;
                Ok(Found::Container)
            }
            _ => {
                let literal = self.literal()?;
                // `1.50` is 1.5; what is no number (`1e999`, `000`) is taken as it is written.
                let number = serde_json::from_str::<Number>(literal).ok();
                let text = number.map_or_else(|| literal.to_owned(), |number| number.to_string());
                Ok(Found::Scalar(text))
            }
        }
    }

    /// Skips a value. Brackets are counted, not matched.
    fn skip(&mut self) -> Result<(), BrokenOff> {
        let mut depth = 0_usize;
        loop {
            self.skip_space();
            match self.peek().ok_or(BrokenOff)? {
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                b'"' => {
                    self.string()?;
                }
                _ => {
                    self.literal()?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// The string that begins here, without its quotes and as it is written.
    fn string(&mut self) -> Result<&'a str, BrokenOff> {
        if self.peek() != Some(b'"') {
            return Err(BrokenOff);
        }
        self.at += 1;
        let begin = self.at;
        loop {
            match self.peek().ok_or(BrokenOff)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let text = self.slice(begin);
        self.at += 1;
        Ok(text)
    }

    /// A number or a word. One at the end of the text may have lost its end with it.
    fn literal(&mut self) -> Result<&'a str, BrokenOff> {
        let begin = self.at;
        let ends = |byte: u8| {
            byte.is_ascii_whitespace()
                || matches!(byte, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"')
        };
        while !ends(self.peek().ok_or(BrokenOff)?) {
            self.at += 1;
        }
        let literal = self.slice(begin);
        (!literal.is_empty()).then_some(literal).ok_or(BrokenOff)
    }

    fn slice(&self, begin: usize) -> &'a str {
        let bytes = self.bytes.get(begin..self.at).unwrap_or_default();
        // The text is UTF-8, and is cut at ASCII characters only.
        str::from_utf8(bytes).unwrap_or_default()
    }
}

/// RFC 6901, section 4: no leading zeros.
fn index(step: &str) -> Option<usize> {
    let is_plain = step.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || (step.len() > 1 && step.starts_with('0')) {
        return None;
    }
    step.parse().ok()
}

/// A string's text. A surrogate without its other half becomes U+FFFD, and an unknown escape the
/// character itself.
fn unescaped(written: &str) -> Cow<'_, str> {
    if !written.contains('\\') {
        return written.into();
    }
    let mut text = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let mut characters = after.chars();
        let escaped = characters.next();
        rest = characters.as_str();
        match escaped {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => {
                let (character, after) = code_unit(rest);
                text.push(character);
                rest = after;
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    text.push_str(rest);
    text.into()
}

/// The character behind `\u`, and the text behind it.
fn code_unit(text: &str) -> (char, &str) {
    let Some((first, rest)) = hex(text) else {
        return (char::REPLACEMENT_CHARACTER, text);
    };
    let second = rest.strip_prefix("\\u").and_then(hex);
    if let Some((second, after)) = second
        && let Some(Ok(pair)) = char::decode_utf16([first, second]).next()
        && pair > '\u{ffff}'
    {
        return (pair, after);
    }
    let alone = char::from_u32(u32::from(first));
    (alone.unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

/// Four hexadecimal digits, and the text behind them.
fn hex(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits
        .then(|| u16::from_str_radix(digits, 16).ok())?
        .map(|unit| (unit, rest))
}

#[cfg(test)]
mod tests;
