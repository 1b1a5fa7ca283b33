//! An answer's body as text, in the charset that it has or says it has.

use encoding_rs::{Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;

/// How the body may be read, the likeliest first. Bytes that a charset does not know become U+FFFD.
///
/// A byte order mark decides. Otherwise the charset of the content type comes first, and UTF-8, which
/// JSON has whatever its header says (RFC 8259, 8.1), second. Bytes that are not UTF-8 are tried as
/// UTF-16 if they begin like it, and as GB18030, which includes GBK and GB2312: Chinese targets send
/// them without saying so.
pub(crate) fn readings<'a>(
    body: &'a [u8],
    content_type: Option<&str>,
) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
    let mut charsets: Vec<&'static Encoding> = Vec::with_capacity(4);
    let mut text = body;
    if let Some((charset, mark)) = Encoding::for_bom(body) {
        text = body.get(mark..).unwrap_or_default();
        charsets.push(charset);
    } else {
        let is_utf8 = str::from_utf8(body).is_ok();
        charsets.extend(content_type.and_then(declared));
        charsets.extend(utf_16(body));
        charsets.push(UTF_8);
        if !is_utf8 {
            charsets.push(GB18030);
        }
        if body.is_ascii() && charsets.iter().all(|charset| charset.is_ascii_compatible()) {
            charsets.truncate(1); // They all read the same.
        }
    }
    let mut tried = Vec::with_capacity(charsets.len());
    charsets.retain(|charset| {
        let is_new = !tried.contains(charset);
        tried.push(charset);
        is_new
    });
    let read = move |charset: &'static Encoding| charset.decode_without_bom_handling(text).0;
    charsets.into_iter().map(read)
}

/// The charset that a content type names, if it is known.
fn declared(content_type: &str) -> Option<&'static Encoding> {
    let mut parameters = content_type.split(';').skip(1);
    let label = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches(['"', '\'']))
    })?;
    Encoding::for_label_no_replacement(label.as_bytes())
}

/// UTF-16 without a byte order mark: JSON begins with an ASCII character.
fn utf_16(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [0, 0, ..] => None,
        [0, _, ..] => Some(UTF_16BE),
        [_, 0, ..] => Some(UTF_16LE),
        _ => None,
    }
}
