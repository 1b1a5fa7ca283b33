//! What does a value look like before anybody knows which kind it must be?

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value as it was written.
pub(super) enum Raw {
    Text(String),
    Whole(i64),
    Flag(bool),
    Point(f64),
    List(Vec<Raw>),
    Texts(BTreeMap<String, String>),
    Other(&'static str),
}

impl Raw {
    pub(super) fn number<T: TryFrom<u64>, E: Error>(&self) -> Result<T, E> {
        let number: Option<u64> = match self {
            Self::Whole(number) => u64::try_from(*number).ok(),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            return Err(E::custom(format!("{} is not a whole number", self.shown())));
        };
        T::try_from(number).map_err(|_| E::custom(format!("{number} is too large")))
    }

    pub(super) fn decimal<E: Error>(&self) -> Result<f64, E> {
        let number = match self {
            Self::Whole(number) => number.to_string().parse().ok(),
            Self::Point(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| E::custom(format!("{} is not a number", self.shown())))
    }

    /// What the value looks like in a sentence.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Whole(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Point(_) => "a number with a point".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Texts(_) => "a section".to_owned(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }

    pub(super) fn text<E: Error>(self) -> Result<String, E> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(E::custom(format!(
                "{} is not text in quotes",
                other.shown()
            ))),
        }
    }

    /// A list of texts, or text whose items are parted by commas. Blank text is an empty list.
    pub(super) fn items<E: Error>(self) -> Result<Vec<String>, E> {
        match self {
            Self::List(items) => items.into_iter().map(Self::text).collect(),
            Self::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
            Self::Text(text) => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
            other => Err(E::custom(format!(
                "{} is not a list (write \"a,b\")",
                other.shown()
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Whole(number)) // TOML knows no larger ones.
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Point(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut section: A) -> Result<Raw, A::Error> {
        let mut texts = Some(BTreeMap::new());
        while let Some((name, value)) = section.next_entry::<String, Raw>()? {
            match (value, &mut texts) {
                (Raw::Text(text), Some(texts)) => drop(texts.insert(name, text)),
                _ => texts = None,
            }
        }
        Ok(texts.map_or(Raw::Other("a section"), Raw::Texts))
    }
}
