//! Checks that a body can be parsed safely, and locates syntax errors.

use serde_json::error::Category;

use super::depth;
use crate::error::{Invalid, Param, ParamError};

/// The mark that some editors and libraries write before the text.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// The body as text that is safe to parse: not empty, UTF-8, not nested too deep.
pub(super) fn safe_text(body: &[u8]) -> Result<&str, Invalid> {
    if body.trim_ascii().is_empty() {
        return Err(Invalid::Missing(Param::Body));
    }
    checked_text(body).map_err(|error| Invalid::Malformed(Param::Body, error))
}

fn checked_text(body: &[u8]) -> Result<&str, ParamError> {
    let json = std::str::from_utf8(body).map_err(|_| ParamError::NotUtf8)?;
    if json.starts_with(BYTE_ORDER_MARK) {
        return Err(ParamError::ByteOrderMark);
    }
    if depth::is_deeper_than(depth::MAX_DEPTH, body) {
        return Err(ParamError::TooDeep {
            max: depth::MAX_DEPTH,
        });
    }
    Ok(json)
}

/// Converts an error of serde_json to the caller's.
pub(super) fn param_error(json: &str, error: &serde_json::Error) -> ParamError {
    match error.classify() {
        Category::Data => ParamError::NotObject,
        Category::Io | Category::Syntax | Category::Eof => {
            let line = error.line().max(1);
            // serde_json counts bytes; the caller is shown characters.
            let bytes = json.split('\n').nth(line - 1).unwrap_or_default().bytes();
            let starts_character = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
            let column = bytes.take(error.column()).filter(starts_character).count();
            ParamError::Syntax {
                line,
                column: column.max(1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::Invalid::{self, Malformed};
    use crate::{Language, Param, ParamError, Request, Rules};

    fn parse(json: impl Into<Bytes>) -> Result<Request, Invalid> {
        Request::parse(&json.into(), &Rules::default())
    }

    fn chinese(body: &str) -> String {
        parse(body.to_owned()).unwrap_err().msg(Language::Chinese)
    }

    /// A valid body around a `request_message`.
    fn around(message: &str) -> String {
        format!(
            r#"{{"callee_no":"EO001","app_id":"a","message_type":"t","request_message":{message}}}"#
        )
    }

    #[test]
    fn a_body_that_cannot_be_parsed_is_named_with_its_position() {
        for (body, error) in [
            ("\u{FEFF}{}", ParamError::ByteOrderMark),
            ("\u{FEFF}", ParamError::ByteOrderMark),
            ("nul", ParamError::Syntax { line: 1, column: 3 }),
            ("{", ParamError::Syntax { line: 1, column: 1 }),
            ("{\"a\":1\n", ParamError::Syntax { line: 2, column: 1 }),
            ("{}x", ParamError::Syntax { line: 1, column: 3 }),
            ("{} {}", ParamError::Syntax { line: 1, column: 4 }),
            ("{\"汉字\":x}", ParamError::Syntax { line: 1, column: 7 }),
            ("{\n \"a\": 01}", ParamError::Syntax { line: 2, column: 8 }),
            ("{\"a\":[1,]}", ParamError::Syntax { line: 1, column: 9 }),
            ("{\"a\":1,}", ParamError::Syntax { line: 1, column: 8 }),
            ("{\"a\":\"\n\"}", ParamError::Syntax { line: 1, column: 6 }),
            ("{\"a\nb\":1}", ParamError::Syntax { line: 1, column: 3 }),
            ("{\"a\":\"\\x\"}", ParamError::Syntax { line: 1, column: 8 }),
            ("{\"a\":NaN}", ParamError::Syntax { line: 1, column: 6 }),
            ("[]", ParamError::NotObject),
            ("null", ParamError::NotObject),
            ("\"{}\"", ParamError::NotObject),
            ("7", ParamError::NotObject),
        ] {
            assert_eq!(parse(body), Err(Malformed(Param::Body, error)), "{body:?}");
        }
        let not_utf8 = &b"{\"app_id\":\"\xFF\"}"[..];
        assert_eq!(
            parse(not_utf8),
            Err(Malformed(Param::Body, ParamError::NotUtf8))
        );
        assert_eq!(
            chinese("{}x"),
            "参数body格式错误: 第1行第3列附近不是有效的JSON"
        );
        // UTF-16, with its own mark.
        assert_eq!(
            parse(&b"\xFF\xFE{\0}\0"[..]),
            Err(Malformed(Param::Body, ParamError::NotUtf8))
        );
    }

    #[test]
    fn an_empty_body_is_missing_and_a_byte_order_mark_is_named() {
        for body in ["", " ", "\r\n\t"] {
            assert_eq!(parse(body), Err(Invalid::Missing(Param::Body)), "{body:?}");
        }
        assert_eq!(chinese(""), "参数body不能为空");
        assert_eq!(
            chinese(&format!("\u{FEFF}{}", around("{}"))),
            "参数body格式错误: 以字节顺序标记（BOM）开头，请去掉后重新发送"
        );
    }

    #[test]
    fn nesting_is_accepted_down_to_the_64th_level() {
        // The body is the first level and request_message the second.
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels - 2), "]".repeat(levels - 2));
            around(&format!("{{\"a\":{open}{close}}}"))
        };
        assert!(parse(nested(64)).is_ok());
        assert_eq!(
            chinese(&nested(65)),
            "参数body格式错误: JSON嵌套不能超过64层"
        );
        assert_eq!(
            parse(nested(100_000)),
            Err(Malformed(Param::Body, ParamError::TooDeep { max: 64 }))
        );
        let in_a_string = format!("{{\"a\":\"{}\"}}", "[".repeat(99));
        assert!(parse(around(&in_a_string)).is_ok());
    }
}
