//! Masks what looks like a secret in a target's answer: values of keys that name one, credentials,
//! tokens, card numbers, and mobile numbers of mainland China. Better too much than too little.

const MASK: &str = "***";

/// Parts of keys whose value is a secret, without `-` and `_`.
const SECRET_KEYS: [&str; 13] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "signature",
    "credential",
    "cookie",
    "session",
];
/// Words before credentials.
const SCHEMES: [&str; 3] = ["bearer", "basic", "digest"];
/// A word of letters and digits this long is taken for a token.
const MIN_TOKEN: usize = 32;
/// The same with capitals, small letters and digits.
const MIN_MIXED_TOKEN: usize = 20;

/// The text with `***` in place of what looks like a secret.
pub(in crate::http) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (shown, after) = if first.is_ascii_digit() || first == '+' {
            number(rest)
        } else if is_word(first) {
            word(rest)
        } else {
            (None, first.len_utf8())
        };
        let (part, remaining) = rest.split_at_checked(after).unwrap_or((rest, ""));
        match shown {
            Some(kept) => {
                masked.push_str(part.get(..kept).unwrap_or_default());
                masked.push_str(MASK);
            }
            None => masked.push_str(part),
        }
        rest = remaining;
    }
    masked
}

const fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}

/// How many of the bytes before the mask are kept, if there is one, and how many bytes were read.
type Step = (Option<usize>, usize);

/// A run of digits, which single spaces and hyphens may separate; or a word that begins with a digit.
fn number(text: &str) -> Step {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let mut end = usize::from(at(0) == b'+');
    let mut digits = Vec::new();
    while at(end).is_ascii_digit()
        || (matches!(at(end), b' ' | b'-') && at(end + 1).is_ascii_digit() && !digits.is_empty())
    {
        if at(end).is_ascii_digit() {
            digits.push(at(end) - b'0');
        }
        end += 1;
    }
    if is_word(char::from(at(end))) {
        return match at(0) {
            b'+' => (None, 1),
            _ => word(text),
        };
    }
    let is_secret =
        is_mobile(&digits) || is_card(&digits) || is_token(text.get(..end).unwrap_or(""));
    (is_secret.then_some(0), end.max(1))
}

/// 11 digits from 13 to 19, with or without the country's 86.
fn is_mobile(digits: &[u8]) -> bool {
    let national = match digits {
        [8, 6, national @ ..] if national.len() == 11 => national,
        [0, 0, 8, 6, national @ ..] if national.len() == 11 => national,
        national => national,
    };
    national.len() == 11 && matches!(national, [1, 3..=9, ..])
}

/// 13 to 19 digits with a valid check digit (Luhn).
fn is_card(digits: &[u8]) -> bool {
    let sum: u32 = (0..)
        .zip(digits.iter().rev())
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

/// A word; the value after it too, if the word names a secret.
fn word(text: &str) -> Step {
    let end = text
        .find(|char| !is_word(char) && !matches!(char, '+' | '='))
        .unwrap_or(text.len());
    // `=` ends a token's padding, or a key.
    let first = text.find(|char| !is_word(char)).unwrap_or(text.len());
    let key = text.get(..first).unwrap_or_default();
    let plain: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|char| char.to_ascii_lowercase())
        .collect();
    let after = text.get(first..).unwrap_or_default();
    if SCHEMES.contains(&&*plain) {
        let gap = after.len() - after.trim_start_matches(' ').len();
        let value = after.get(gap..).unwrap_or_default();
        let credentials = value_end(value, &[' ', ',', ';', '"']);
        // "basic information": base64 of a name and a password has other characters, too.
        let is_prose = plain == "basic"
            && value
                .bytes()
                .take(credentials)
                .all(|byte| byte.is_ascii_lowercase());
        if gap > 0 && credentials >= 6 && !is_prose {
            return (Some(first + gap), first + gap + credentials);
        }
    }
    if SECRET_KEYS.iter().any(|secret| plain.contains(secret))
        && let Some((begin, length)) = value(after, &plain)
    {
        return (Some(first + begin), first + begin + length);
    }
    // A JSON Web Token has dots.
    if plain.starts_with("eyj") && after.starts_with('.') {
        let length = text
            .find(|char| !is_word(char) && !matches!(char, '.' | '+' | '='))
            .unwrap_or(text.len());
        return (Some(0), length);
    }
    let token = text.get(..end).unwrap_or_default();
    if is_token(token) {
        return (Some(0), end);
    }
    (None, first.max(1))
}

/// Where the value after a key begins and how long it is: behind `:` or `=`, with or without quotes.
fn value(after: &str, key: &str) -> Option<(usize, usize)> {
    let unquoted = after.trim_start_matches(['"', '\'', '\\']);
    let spaced = unquoted.trim_start_matches(' ');
    let assigned = spaced.strip_prefix([':', '='])?;
    let value = assigned.trim_start_matches(' ');
    let opened = value.trim_start_matches(['"', '\'', '\\']);
    let begin = after.len() - opened.len();
    let is_quoted = opened.len() < value.len();
    let ends: &[char] = match is_quoted {
        true => &['"', '\'', '\\'],
        // A header's value has spaces.
        false if matches!(key, "authorization" | "cookie" | "setcookie") => &[],
        false => &[' ', ',', ';', '&', '}', ']', ')', '<', '"', '\''],
    };
    let length = value_end(opened, ends);
    (length > 0).then_some((begin, length))
}

/// Up to one of these characters, or the line's end.
fn value_end(text: &str, ends: &[char]) -> usize {
    let ended = |char: char| matches!(char, '\n' | '\r' | '\t') || ends.contains(&char);
    text.find(ended).unwrap_or(text.len())
}

/// A long word of letters and digits that is no UUID.
fn is_token(word: &str) -> bool {
    let has = |of: fn(&char) -> bool| word.chars().any(|char| of(&char));
    let digit = has(char::is_ascii_digit);
    let (upper, lower) = (has(char::is_ascii_uppercase), has(char::is_ascii_lowercase));
    let long = word.len() >= MIN_TOKEN && digit && (upper || lower);
    let mixed = word.len() >= MIN_MIXED_TOKEN && digit && upper && lower;
    (long || mixed) && !is_uuid(word)
}

/// With hyphens: without, it may as well be a digest or a key.
fn is_uuid(word: &str) -> bool {
    word.contains('-') && uuid::Uuid::try_parse(word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        for (text, masked) in [
            (
                r#"{"password":"hunter 2","n":1}"#,
                r#"{"password":"***","n":1}"#,
            ),
            (
                r#"{"access_token": "abc", "x":2}"#,
                r#"{"access_token": "***", "x":2}"#,
            ),
            ("api-key=abc&n=1", "api-key=***&n=1"),
            ("client_secret : s3cr3t;", "client_secret : ***;"),
            (
                "Authorization: Basic dTpw cnQ=\nnext",
                "Authorization: ***\nnext",
            ),
            ("Set-Cookie: a=b; Path=/", "Set-Cookie: ***"),
            ("use Bearer abc.def-ghi, please", "use Bearer ***, please"),
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln!", "got ***!"),
            ("key 5f4dcc3b5aa765d61d8327deb882cf99.", "key ***."),
            ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "***"),
            ("card 4111 1111 1111 1111 refused", "card *** refused"),
            ("card 4111-1111-1111-1111", "card ***"),
            ("call 13800138000.", "call ***."),
            ("+86 138-0013-8000", "***"),
            ("8613800138000", "***"),
        ] {
            assert_eq!(mask(text), masked, "{text}");
        }
    }

    #[test]
    fn a_card_number_has_a_valid_check_digit() {
        let digits = |text: &str| -> Vec<u8> { text.bytes().map(|byte| byte - b'0').collect() };
        assert!(is_card(&digits("4111111111111111")));
        assert!(!is_card(&digits("4111111111111112")));
        assert!(!is_card(&digits("41111")));
    }

    #[test]
    fn what_helps_is_left() {
        for text in [
            "",
            "系统维护中，请稍后再试 (2025-11-23 12:15:23)",
            r#"{"code":400,"message":"order 20251123 not found","total":12.50}"#,
            "request 01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7f failed",
            "<html><body>502 Bad Gateway<hr>nginx/1.25.3</body></html>",
            "basic information; the bearer of this",
            "tokens expired",
            "1380013800",
            "12345678901",
            "+ 1",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    #[test]
    fn any_text_is_masked_without_loss_of_the_rest() {
        for text in [
            "文secret",
            "secret=",
            "bearer ",
            "+",
            "1 ",
            "-1",
            "eyJ.",
            "\u{1}a\u{2}",
        ] {
            mask(text);
        }
    }
}
