//! A sentence in both languages of the console: English for the API and the commands, Chinese beside it.
//!
//! [`say!`] takes both, so that none can be forgotten, and the compiler checks the places of both. What
//! another system says (an error of RabbitMQ) and names stay as they are in both.

use std::fmt;

use runtime::text::one_line;
use serde::{Deserialize, Serialize};

/// A sentence. In JSON it is its English wording, and what is read back has no other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Said {
    english: String,
    /// `None`: somebody else's words, which are the same in both.
    chinese: Option<String>,
}

impl Said {
    /// The same in both languages.
    pub(crate) const fn both(english: String, chinese: String) -> Self {
        Self {
            english,
            chinese: Some(chinese),
        }
    }

    /// Without line ends and characters that act, in both.
    pub(crate) fn one_line(self) -> Self {
        Self {
            english: one_line(&self.english).into_owned(),
            chinese: self.chinese.map(|text| one_line(&text).into_owned()),
        }
    }

    /// English, and Chinese if there is any.
    pub(crate) fn into_parts(self) -> (String, Option<String>) {
        (self.english, self.chinese)
    }

    /// Several, each with the separator of its language.
    pub(crate) fn join(parts: &[Self], english: &str, chinese: &str) -> Self {
        let of = |part: fn(&Self) -> String| parts.iter().map(part).collect::<Vec<_>>();
        Self::both(
            of(Spoken::english).join(english),
            of(Spoken::chinese).join(chinese),
        )
    }
}

impl From<&str> for Said {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<String> for Said {
    fn from(english: String) -> Self {
        Self {
            english,
            chinese: None,
        }
    }
}

impl From<Said> for String {
    fn from(said: Said) -> Self {
        said.english
    }
}

/// In English.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.english)
    }
}

/// By its English wording.
#[cfg(test)]
impl PartialEq<&str> for Said {
    fn eq(&self, english: &&str) -> bool {
        self.english == *english
    }
}

/// What can be a part of a sentence.
pub(crate) trait Spoken {
    fn english(&self) -> String;

    /// Names and numbers are the same.
    fn chinese(&self) -> String {
        self.english()
    }
}

impl Spoken for Said {
    fn english(&self) -> String {
        self.english.clone()
    }

    fn chinese(&self) -> String {
        self.chinese.as_ref().unwrap_or(&self.english).clone()
    }
}

impl Spoken for String {
    fn english(&self) -> String {
        self.clone()
    }
}

impl Spoken for &str {
    fn english(&self) -> String {
        (*self).to_owned()
    }
}

impl Spoken for u32 {
    fn english(&self) -> String {
        self.to_string()
    }
}

impl Spoken for u64 {
    fn english(&self) -> String {
        self.to_string()
    }
}

impl Spoken for usize {
    fn english(&self) -> String {
        self.to_string()
    }
}

/// A sentence: in English, in Chinese, and its parts in the order of the places `{0}`, `{1}`. Variables in
/// braces are taken as they are.
macro_rules! say {
    ($english:literal, $chinese:literal $(, $part:expr)* $(,)?) => {
        $crate::doctor::said::Said::both(
            format!($english $(, $crate::doctor::said::Spoken::english(&$part))*),
            format!($chinese $(, $crate::doctor::said::Spoken::chinese(&$part))*),
        )
    };
}

pub(crate) use say;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_made_in_both_languages_with_its_parts() {
        let (who, count) = ("ann", 3_u64);
        let inner = say!("{0} messages", "{0} 条消息", count);
        let said = say!("{0} of {who}", "{who} 的{0}", inner);
        assert_eq!(
            said.into_parts(),
            (
                "3 messages of ann".to_owned(),
                Some("ann 的3 条消息".to_owned())
            )
        );
        let foreign = Said::from("connection refused");
        let said = say!("unreachable: {0}", "无法连接：{0}", foreign);
        assert_eq!(said.chinese(), "无法连接：connection refused");
        let parts = [say!("a", "甲"), Said::from("b")];
        let joined = Said::join(&parts, ", ", "、");
        assert_eq!(
            (joined.english(), joined.chinese()),
            ("a, b".to_owned(), "甲、b".to_owned())
        );
    }
}
