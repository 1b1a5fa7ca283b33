//! Strict deserializer over the merged settings.
//!
//! A value is TOML or the plain text of an environment variable, so text is read as whatever the
//! field needs: a number, `true`, a comma-separated list. Nothing else is converted: 2.7 is not 3,
//! and `true` is not 1. Text is trimmed. Errors carry the key, and never show what may be a secret.

use std::fmt;

use config::{Value, ValueKind};
use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::secret_setting::{Secrecy, SecretSetting};

/// A key whose value cannot be read, and why.
#[derive(Debug)]
pub(super) struct ValueError {
    /// The parts of the key, the last one first.
    path: Vec<String>,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// A sentence that shows no secret.
    Sentence(String),
    /// A sentence of a type that cannot know whether the value is secret, and one without the value.
    Foreign { shown: String, hidden: String },
    /// A section was expected. The sentence needs the whole key.
    NotASection,
}

impl ValueError {
    /// The dotted key and the sentence.
    pub(super) fn into_parts(mut self) -> (String, String) {
        self.path.reverse();
        let key = self.path.join(".");
        let reason = match self.reason {
            Reason::Sentence(sentence) => sentence,
            Reason::Foreign { shown, .. } => shown,
            Reason::NotASection => format!("no such setting; a section is written [{key}]"),
        };
        (key, reason)
    }

    fn new(reason: Reason) -> Self {
        Self {
            path: Vec::new(),
            reason,
        }
    }

    fn sentence(sentence: impl Into<String>) -> Self {
        Self::new(Reason::Sentence(sentence.into()))
    }

    /// The same error without the value.
    fn without_value(mut self) -> Self {
        if let Reason::Foreign { hidden, .. } = self.reason {
            self.reason = Reason::Sentence(hidden);
        }
        self
    }

    fn inside(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }
}

/// Reads the merged tree.
pub(super) fn from_value<T: DeserializeOwned>(
    root: &Value,
    secrets: &[SecretSetting],
) -> Result<T, ValueError> {
    T::deserialize(Setting {
        value: root,
        is_item: false,
        secrecy: Secrecy::root(secrets),
    })
}

/// One value on its way into a field.
struct Setting<'a> {
    value: &'a Value,
    /// Whether it is an item of a list, which must not be blank.
    is_item: bool,
    secrecy: Secrecy,
}

impl<'a> Setting<'a> {
    fn text(&self) -> Option<&'a str> {
        match &self.value.kind {
            ValueKind::String(text) => Some(text.trim()),
            _ => None,
        }
    }

    /// The value in an error sentence, or what kind of value it is if it may be secret.
    fn shown(&self) -> String {
        match self.secrecy.is_secret() {
            true => self.kind().to_owned(),
            false => shown(&self.unexpected()),
        }
    }

    /// A number in an error sentence.
    fn shown_number(&self, number: i128) -> String {
        match self.secrecy.is_secret() {
            true => "the number".to_owned(),
            false => number.to_string(),
        }
    }

    const fn kind(&self) -> &'static str {
        match &self.value.kind {
            ValueKind::Nil => "nothing",
            ValueKind::Boolean(_) => "true or false",
            ValueKind::I64(_)
            | ValueKind::U64(_)
            | ValueKind::I128(_)
            | ValueKind::U128(_)
            | ValueKind::Float(_) => "a number",
            ValueKind::String(_) => "text",
            ValueKind::Table(_) => "a table",
            ValueKind::Array(_) => "a list",
        }
    }

    fn unexpected(&self) -> Unexpected<'a> {
        match &self.value.kind {
            ValueKind::Nil => Unexpected::Unit,
            ValueKind::Boolean(flag) => Unexpected::Bool(*flag),
            ValueKind::I64(number) => Unexpected::Signed(*number),
            ValueKind::U64(number) => Unexpected::Unsigned(*number),
            ValueKind::I128(_) | ValueKind::U128(_) => Unexpected::Other("a huge number"),
            ValueKind::Float(number) => Unexpected::Float(*number),
            ValueKind::String(text) => Unexpected::Str(text),
            ValueKind::Table(_) => Unexpected::Map,
            ValueKind::Array(_) => Unexpected::Seq,
        }
    }

    /// A whole number that fits its type.
    fn whole<T: TryFrom<i128>>(&self) -> Result<T, ValueError> {
        let number = match &self.value.kind {
            ValueKind::I64(number) => Some(i128::from(*number)),
            ValueKind::U64(number) => Some(i128::from(*number)),
            ValueKind::I128(number) => Some(*number),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let is_unsigned = T::try_from(-1).is_err();
        match number {
            Some(number) if number >= 0 || !is_unsigned => T::try_from(number).map_err(|_| {
                let number = self.shown_number(number);
                ValueError::sentence(format!("{number} is too large"))
            }),
            _ => Err(ValueError::sentence(format!(
                "{} is not a whole number",
                self.shown()
            ))),
        }
    }

    fn decimal(&self) -> Result<f64, ValueError> {
        let number = match &self.value.kind {
            ValueKind::Float(number) => Some(*number),
            ValueKind::I64(number) => number.to_string().parse().ok(),
            ValueKind::U64(number) => number.to_string().parse().ok(),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| ValueError::sentence(format!("{} is not a number", self.shown())))
    }
}

macro_rules! whole_numbers {
    ($($deserialize:ident => $visit:ident,)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            visitor.$visit(self.whole()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Setting<'_> {
    type Error = ValueError;

    whole_numbers! {
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_f64(self.decimal()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_f64(self.decimal()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let flag = match (&self.value.kind, self.text()) {
            (ValueKind::Boolean(flag), _) => *flag,
            (_, Some("true")) => true,
            (_, Some("false")) => false,
            _ => {
                let sentence = format!("{} is not true or false", self.shown());
                return Err(ValueError::sentence(sentence));
            }
        };
        visitor.visit_bool(flag)
    }

    /// Text that is parsed further: a duration, an address.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let Some(text) = self.text() else {
            return Err(de::Error::invalid_type(self.unexpected(), &visitor));
        };
        visitor
            .visit_str(text)
            .map_err(|error: ValueError| match error.reason {
                // The message of `std::net` does not show the text.
                Reason::Foreign { shown, .. } if shown == "invalid socket address syntax" => {
                    de::Error::invalid_value(Unexpected::Str(text), &"socket address")
                }
                _ => error,
            })
    }

    /// Text that is used as it is. It may be a secret: what stands in its place is not shown.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.text() {
            Some("") if self.is_item => Err(ValueError::sentence("one of its items is blank")),
            Some(text) => visitor.visit_str(text),
            None => Err(ValueError::sentence(format!(
                "{} is not text in quotes",
                self.kind()
            ))),
        }
    }

    /// Blank means unset: compose files pass an unset variable as an empty one.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match &self.value.kind {
            ValueKind::Nil => visitor.visit_none(),
            ValueKind::String(text) if text.trim().is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.text() {
            Some(text) => visitor.visit_enum(text.into_deserializer()),
            None => Err(de::Error::invalid_type(self.unexpected(), &"a string")),
        }
    }

    /// A list, or text whose items are separated by commas, or a single number.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let items: Vec<Value> = match &self.value.kind {
            ValueKind::Array(items) => items.clone(),
            ValueKind::I64(_) => vec![self.value.clone()],
            ValueKind::String(text) if text.trim().is_empty() => Vec::new(),
            ValueKind::String(text) => {
                let items = text.split(',').map(str::trim);
                items.map(|item| Value::new(None, item)).collect()
            }
            _ => {
                let sentence = format!("{} is not a list (write \"a,b\")", self.shown());
                return Err(ValueError::sentence(sentence));
            }
        };
        visitor.visit_seq(Items {
            items: items.into_iter(),
            secrecy: self.secrecy,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let ValueKind::Table(table) = &self.value.kind else {
            return Err(ValueError::sentence(
                "it is not a table (write { \"name\" = \"value\" })",
            ));
        };
        let mut entries: Vec<(&str, &Value)> = table
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        // Sorted, so that the same mistake is always reported first.
        entries.sort_unstable_by_key(|(key, _)| *key);
        visitor.visit_map(Entries {
            entries: entries.into_iter(),
            next: None,
            secrecy: self.secrecy,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match &self.value.kind {
            ValueKind::Table(_) => self.deserialize_map(visitor),
            _ => Err(ValueError::new(Reason::NotASection)),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match &self.value.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(flag) => visitor.visit_bool(*flag),
            ValueKind::I64(number) => visitor.visit_i64(*number),
            ValueKind::U64(number) => visitor.visit_u64(*number),
            ValueKind::I128(number) => visitor.visit_i128(*number),
            ValueKind::U128(number) => visitor.visit_u128(*number),
            ValueKind::Float(number) => visitor.visit_f64(*number),
            ValueKind::String(text) => visitor.visit_str(text.trim()),
            ValueKind::Table(_) => self.deserialize_map(visitor),
            ValueKind::Array(_) => self.deserialize_seq(visitor),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items {
    items: std::vec::IntoIter<Value>,
    secrecy: Secrecy,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let item = self.items.next();
        let secrecy = &self.secrecy;
        item.map(|value| {
            seed.deserialize(Setting {
                value: &value,
                is_item: true,
                secrecy: secrecy.clone(),
            })
        })
        .transpose()
    }
}

struct Entries<'a> {
    entries: std::vec::IntoIter<(&'a str, &'a Value)>,
    next: Option<(&'a str, &'a Value)>,
    secrecy: Secrecy,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ValueError> {
        self.next = self.entries.next();
        let key = self.next.map(|(key, _)| key.to_owned());
        key.map(|key| {
            let key: StringDeserializer<ValueError> = key.into_deserializer();
            seed.deserialize(key)
        })
        .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ValueError> {
        let Some((key, value)) = self.next.take() else {
            return Err(ValueError::sentence("a value was read before its key"));
        };
        let secrecy = self.secrecy.enter(key);
        let is_secret = secrecy.is_secret();
        let setting = Setting {
            value,
            is_item: false,
            secrecy,
        };
        seed.deserialize(setting).map_err(|error| {
            let error = if is_secret {
                error.without_value()
            } else {
                error
            };
            error.inside(key)
        })
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Sentence(sentence)
            | Reason::Foreign {
                hidden: sentence, ..
            } => f.write_str(sentence),
            Reason::NotASection => f.write_str("it is not a section"),
        }
    }
}

impl std::error::Error for ValueError {}

impl de::Error for ValueError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::new(Reason::Foreign {
            shown: reason.to_string(),
            hidden: "it cannot be used, and is not shown, since it may be a secret".to_owned(),
        })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match expected.to_string().as_str() {
            "a string" | "path string" => "text in quotes".to_owned(),
            "a duration" => "a duration (write 5s, 2min or 1h)".to_owned(),
            "socket address" => "an IP address with a port (write 127.0.0.1:5106)".to_owned(),
            other => other.to_owned(),
        };
        Self::new(Reason::Foreign {
            shown: format!("{} is not {expected}", shown(&found)),
            hidden: format!("it is not {expected}"),
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let expected = expected.join(", ");
        Self::new(Reason::Foreign {
            shown: format!("{variant:?} is none of {expected}"),
            hidden: format!("it is none of {expected}"),
        })
    }

    fn unknown_field(field: &str, expected_names: &'static [&'static str]) -> Self {
        let expected = match expected_names {
            [] => "there are none here".to_owned(),
            [one] => format!("expected {one}"),
            [one, two] => format!("expected {one} or {two}"),
            many => format!("expected one of {}", many.join(", ")),
        };
        let similar = similar_name(field, expected_names)
            .map_or_else(String::new, |name| format!("; did you mean {name}?"));
        Self::sentence(format!("no such setting{similar} ({expected})")).inside(field)
    }
}

/// The name that was probably meant. The measure and its bound are those of clap, which suggests
/// commands and options.
fn similar_name(name: &str, known: &[&'static str]) -> Option<&'static str> {
    const SIMILAR: f64 = 0.8;
    let rated = known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), *known));
    let (likeness, known) = rated.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness > SIMILAR).then_some(known)
}

fn shown(value: &Unexpected<'_>) -> String {
    match value {
        Unexpected::Bool(flag) => flag.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(_) => "a number with a point".to_owned(),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a section".to_owned(),
        Unexpected::Unit => "nothing".to_owned(),
        other => other.to_string(),
    }
}
