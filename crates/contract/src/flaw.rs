//! What can be wrong with a parameter that is there?

use std::borrow::Cow;

use crate::Language;

/// Why a parameter cannot be used, as data. Whoever finds a flaw says it with one of these, so
/// that the caller reads the same sentence wherever it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Not a JSON string.
    NotText,
    /// Not a JSON object.
    NotObject,
    /// Not a JSON integer; `1.0` and `"1"` are none.
    NotInteger,
    /// Given more than once. Header names are compared without regard to case.
    Duplicate,
    /// A text of more than `max` bytes.
    TooLong {
        /// The most bytes allowed.
        max: usize,
    },
    /// A control character in a text.
    ControlCharacter,
    /// A character outside visible ASCII (0x21 to 0x7E) in a text that may hold nothing else.
    NotVisibleAscii,
    /// An escaped surrogate without its other half, which no UTF-8 text can hold.
    LoneSurrogate,
    /// The body is not UTF-8.
    NotUtf8,
    /// The body is not JSON, seen at or just before this place.
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The character in that line, from 1.
        column: usize,
    },
    /// JSON nested deeper than `max` levels.
    TooDeep {
        /// The most levels allowed, the body's own object being the first.
        max: usize,
    },
    /// An integer outside its range.
    OutOfRange {
        /// The least value allowed.
        min: u32,
        /// The greatest value allowed.
        max: u32,
    },
    /// More than `max` entries.
    TooMany {
        /// The most entries allowed.
        max: usize,
    },
    /// Entries of more than `max` bytes together.
    TooLarge {
        /// The most bytes allowed.
        max: usize,
    },
    /// A header name that is no token (RFC 9110, section 5.6.2).
    HeaderName {
        /// The name, cut and made printable.
        name: String,
    },
    /// A header that callers may not set.
    HeaderForbidden {
        /// The name, cut and made printable.
        name: String,
    },
    /// A header value that is no string, or one with control characters.
    HeaderValue {
        /// The name, cut and made printable.
        name: String,
    },
    /// A URL of more than `max` bytes.
    UrlTooLong {
        /// The most bytes allowed.
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
    /// A port that nothing can listen on.
    UrlPort,
    /// The address guard refuses the URL's address.
    AddressRefused {
        /// The name of the guard's rule.
        rule: &'static str,
    },
    /// No such callee is registered.
    CalleeUnknown,
    /// The callee is registered, but without a URL.
    CalleeWithoutUrl,
}

impl Flaw {
    /// The reason for the caller, a clause that stands after "is malformed: ".
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
            Self::CalleeUnknown => "no such callee is registered".into(),
            Self::CalleeWithoutUrl => "this callee has no URL configured".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Flaw;
    use crate::Language;

    #[test]
    fn a_reason_holds_its_numbers_and_names_in_both_languages() {
        let name = || "x-name".to_owned();
        for (flaw, parts) in [
            (Flaw::TooLong { max: 41 }, vec!["41"]),
            (
                Flaw::Syntax {
                    line: 41,
                    column: 43,
                },
                vec!["41", "43"],
            ),
            (Flaw::TooDeep { max: 41 }, vec!["41"]),
            (Flaw::OutOfRange { min: 41, max: 43 }, vec!["41", "43"]),
            (Flaw::TooMany { max: 41 }, vec!["41"]),
            (Flaw::TooLarge { max: 41 }, vec!["41"]),
            (Flaw::HeaderName { name: name() }, vec!["x-name"]),
            (Flaw::HeaderForbidden { name: name() }, vec!["x-name"]),
            (Flaw::HeaderValue { name: name() }, vec!["x-name"]),
            (Flaw::UrlTooLong { max: 41 }, vec!["41"]),
            (Flaw::AddressRefused { rule: "loopback" }, vec!["loopback"]),
        ] {
            let (chinese, english) = (
                flaw.reason(Language::Chinese),
                flaw.reason(Language::English),
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
