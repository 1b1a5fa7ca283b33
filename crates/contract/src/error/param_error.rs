//! Why a parameter that is present cannot be used, with the caller's sentence in each language.

use std::borrow::Cow;

use crate::response::language::Language;

/// Why a parameter cannot be used, as data. Every check reports one of these, so that the caller
/// reads the same sentence wherever the error was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamError {
    /// Not a JSON string.
    NotText,
    /// Not a JSON object.
    NotObject,
    /// Not a JSON integer; neither `1.0` nor `"1"` is one.
    NotInteger,
    /// Given more than once. Header names are compared without regard to case.
    Duplicate,
    /// A string of more than `max` bytes.
    TooLong {
        /// The maximum number of bytes.
        max: usize,
    },
    /// A control character in a string.
    ControlCharacter,
    /// A character outside visible ASCII (0x21 to 0x7E) where only those are allowed.
    NotVisibleAscii,
    /// An escaped surrogate without its pair, which UTF-8 cannot hold.
    LoneSurrogate,
    /// The body is not UTF-8.
    NotUtf8,
    /// The body begins with a byte order mark (RFC 8259, section 8.1, forbids to send one).
    ByteOrderMark,
    /// The body ended before its declared length.
    Incomplete,
    /// The body is not JSON; the error is at or just before this position.
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The character in that line, from 1.
        column: usize,
    },
    /// JSON nested deeper than `max` levels.
    TooDeep {
        /// The maximum number of levels; the body's object is the first.
        max: usize,
    },
    /// An integer outside its range.
    OutOfRange {
        /// The minimum.
        min: u32,
        /// The maximum.
        max: u32,
    },
    /// More than `max` entries.
    TooMany {
        /// The maximum number of entries.
        max: usize,
    },
    /// Entries of more than `max` bytes in total.
    TooLarge {
        /// The maximum number of bytes.
        max: usize,
    },
    /// A header name that is not a token (RFC 9110, section 5.6.2).
    HeaderName {
        /// The name, truncated and made printable.
        name: String,
    },
    /// A header that callers may not set.
    HeaderForbidden {
        /// The name, truncated and made printable.
        name: String,
    },
    /// A header value that is not a string, or contains control characters.
    HeaderValue {
        /// The name, truncated and made printable.
        name: String,
    },
    /// A URL of more than `max` bytes.
    UrlTooLong {
        /// The maximum number of bytes.
        max: usize,
    },
    /// A control character in a URL.
    UrlControlCharacter,
    /// Not an absolute URL.
    UrlMalformed,
    /// A scheme other than `http` and `https`.
    UrlScheme,
    /// A URL with a user name or password.
    UrlUserInfo,
    /// A URL without a host.
    UrlNoHost,
    /// A port that cannot be called.
    UrlPort,
    /// The address guard (the SSRF guard) refuses the URL's address.
    AddressRefused {
        /// The name of the guard's rule.
        rule: &'static str,
    },
    /// An option that the gateway does not know, and the operator has unknown ones refused.
    OptionUnknown {
        /// Its name, visible ASCII.
        name: String,
    },
    /// No such callee is registered.
    CalleeUnknown,
    /// The callee is registered, but without a URL.
    CalleeWithoutUrl,
}

impl ParamError {
    /// The reason for the caller: a clause that follows "is malformed: " or "is not allowed: ".
    pub fn reason(&self, language: Language) -> Cow<'static, str> {
        match language {
            Language::Chinese => self.chinese(),
            Language::English => self.english(),
        }
    }

    fn chinese(&self) -> Cow<'static, str> {
        match self {
            Self::NotText => "必须是字符串".into(),
            Self::NotObject => "必须是JSON对象".into(),
            Self::NotInteger => "必须是整数".into(),
            Self::Duplicate => "重复出现".into(),
            Self::TooLong { max } => format!("长度不能超过{max}字节").into(),
            Self::ControlCharacter => "不能包含控制字符".into(),
            Self::NotVisibleAscii => "只能包含可见的ASCII字符".into(),
            Self::LoneSurrogate => "包含不成对的代理项转义".into(),
            Self::NotUtf8 => "不是有效的UTF-8编码".into(),
            Self::ByteOrderMark => "以字节顺序标记（BOM）开头，请去掉后重新发送".into(),
            Self::Incomplete => "请求体不完整，请重新发送".into(),
            Self::Syntax { line, column } => {
                format!("第{line}行第{column}列附近不是有效的JSON").into()
            }
            Self::TooDeep { max } => format!("JSON嵌套不能超过{max}层").into(),
            Self::OutOfRange { min, max } => format!("必须在{min}到{max}之间").into(),
            Self::TooMany { max } => format!("不能超过{max}项").into(),
            Self::TooLarge { max } => format!("总大小不能超过{max}字节").into(),
            Self::HeaderName { name } => format!("请求头名称{name}无效").into(),
            Self::HeaderForbidden { name } => format!("不允许设置请求头{name}").into(),
            Self::HeaderValue { name } => {
                format!("请求头{name}的值必须是不含控制字符的字符串").into()
            }
            Self::UrlTooLong { max } => format!("URL长度不能超过{max}字节").into(),
            Self::UrlControlCharacter => "URL不能包含控制字符".into(),
            Self::UrlMalformed => "不是有效的绝对URL".into(),
            Self::UrlScheme => "URL协议必须是http或https".into(),
            Self::UrlUserInfo => "URL不能包含用户名或密码".into(),
            Self::UrlNoHost => "URL缺少主机名".into(),
            Self::UrlPort => "URL端口无效".into(),
            Self::AddressRefused { rule } => format!("不允许访问该地址（{rule}）").into(),
            Self::OptionUnknown { name } => format!("不支持选项{name}").into(),
            Self::CalleeUnknown => "该被回调方编号未登记".into(),
            Self::CalleeWithoutUrl => "该被回调方未配置回调地址".into(),
        }
    }

    fn english(&self) -> Cow<'static, str> {
        match self {
            Self::NotText => "it must be a string".into(),
            Self::NotObject => "it must be a JSON object".into(),
            Self::NotInteger => "it must be an integer".into(),
            Self::Duplicate => "it is given more than once".into(),
            Self::TooLong { max } => format!("it must not be longer than {max} bytes").into(),
            Self::ControlCharacter => "it must not contain control characters".into(),
            Self::NotVisibleAscii => "it must hold visible ASCII characters only".into(),
            Self::LoneSurrogate => "it contains an escaped surrogate without its pair".into(),
            Self::NotUtf8 => "it is not valid UTF-8".into(),
            Self::ByteOrderMark => {
                "it begins with a byte order mark (BOM), send it without one".into()
            }
            Self::Incomplete => "it is incomplete, send it again".into(),
            Self::Syntax { line, column } => {
                format!("it is not valid JSON near line {line}, column {column}").into()
            }
            Self::TooDeep { max } => format!("JSON may be nested {max} levels at most").into(),
            Self::OutOfRange { min, max } => format!("it must be between {min} and {max}").into(),
            Self::TooMany { max } => format!("it must not have more than {max} entries").into(),
            Self::TooLarge { max } => {
                format!("it must not be larger than {max} bytes in all").into()
            }
            Self::HeaderName { name } => format!("{name} is not a valid header name").into(),
            Self::HeaderForbidden { name } => format!("header {name} may not be set").into(),
            Self::HeaderValue { name } => {
                format!("the value of header {name} must be a string without control characters")
                    .into()
            }
            Self::UrlTooLong { max } => {
                format!("the URL must not be longer than {max} bytes").into()
            }
            Self::UrlControlCharacter => "the URL must not contain control characters".into(),
            Self::UrlMalformed => "it is not a valid absolute URL".into(),
            Self::UrlScheme => "the URL's scheme must be http or https".into(),
            Self::UrlUserInfo => "the URL must not contain a user name or password".into(),
            Self::UrlNoHost => "the URL has no host".into(),
            Self::UrlPort => "the URL's port is invalid".into(),
            Self::AddressRefused { rule } => {
                format!("this address may not be called ({rule})").into()
            }
            Self::OptionUnknown { name } => format!("there is no option {name}").into(),
            Self::CalleeUnknown => "no such callee is registered".into(),
            Self::CalleeWithoutUrl => "this callee has no URL configured".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ParamError;
    use crate::response::language::Language;

    #[test]
    fn a_reason_holds_its_numbers_and_names_in_both_languages() {
        let name = || "x-name".to_owned();
        for (error, parts) in [
            (ParamError::TooLong { max: 41 }, vec!["41"]),
            (
                ParamError::Syntax {
                    line: 41,
                    column: 43,
                },
                vec!["41", "43"],
            ),
            (ParamError::TooDeep { max: 41 }, vec!["41"]),
            (
                ParamError::OutOfRange { min: 41, max: 43 },
                vec!["41", "43"],
            ),
            (ParamError::TooMany { max: 41 }, vec!["41"]),
            (ParamError::TooLarge { max: 41 }, vec!["41"]),
            (ParamError::ByteOrderMark, vec!["BOM"]),
            (ParamError::Incomplete, vec![]),
            (ParamError::HeaderName { name: name() }, vec!["x-name"]),
            (ParamError::HeaderForbidden { name: name() }, vec!["x-name"]),
            (ParamError::HeaderValue { name: name() }, vec!["x-name"]),
            (ParamError::OptionUnknown { name: name() }, vec!["x-name"]),
            (ParamError::UrlTooLong { max: 41 }, vec!["41"]),
            (
                ParamError::AddressRefused { rule: "loopback" },
                vec!["loopback"],
            ),
        ] {
            let (chinese, english) = (
                error.reason(Language::Chinese),
                error.reason(Language::English),
            );
            assert!(
                !chinese.is_ascii() && english.is_ascii(),
                "{chinese} {english}"
            );
            for part in parts {
                assert!(
                    chinese.contains(part) && english.contains(part),
                    "{chinese} {english}"
                );
            }
        }
    }
}
