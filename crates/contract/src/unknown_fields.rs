//! Unknown keys of a message, kept byte for byte.
//!
//! Newer gateways may add keys. During a rolling upgrade an older dispatcher reads their messages,
//! and must not lose those keys when it publishes a retry.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::CowStrDeserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};
use serde_json::value::RawValue;

use crate::json::to_json;
use crate::request::fields::text;

/// The unknown keys of one JSON object, as they were read: `,"key":value` for each.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UnknownFields(String);

impl UnknownFields {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to insert before the closing brace of an object that has other keys.
    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }

    fn push(&mut self, key: &RawValue, value: &RawValue) {
        for part in [",", key.get(), ":", value.get()] {
            self.0.push_str(part);
        }
    }
}

/// Shows no bytes of a message: they may hold a secret.
impl fmt::Debug for UnknownFields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UnknownFields({} bytes)", self.0.len())
    }
}

/// Serialises a struct with its unknown keys at the end.
pub(crate) struct WithUnknown<'a, T>(pub(crate) &'a T, pub(crate) &'a UnknownFields);

impl<T: Serialize> Serialize for WithUnknown<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(value, unknown) = self;
        if unknown.is_empty() {
            return value.serialize(serializer);
        }
        let known = to_json(value, 256);
        let known = String::from_utf8_lossy(&known);
        let known = known.strip_suffix('}').unwrap_or(&known);
        let unknown = match known {
            "{" => unknown.as_json().trim_start_matches(','),
            _ => unknown.as_json(),
        };
        RawValue::from_string(format!("{known}{unknown}}}"))
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// A struct deserialised in one pass, with the keys that it does not define.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected<T> {
    pub(crate) value: T,
    pub(crate) unknown: UnknownFields,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Collected<T> {
    fn deserialize<D: Deserializer<'de>>(inner: D) -> Result<Self, D::Error> {
        let mut unknown = UnknownFields::default();
        let value = T::deserialize(Collecting {
            inner,
            unknown: &mut unknown,
        })?;
        Ok(Self { value, unknown })
    }
}

struct Collecting<'a, D> {
    inner: D,
    unknown: &'a mut UnknownFields,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Collecting<'_, D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(CollectingVisitor {
            fields,
            visitor,
            unknown: self.unknown,
        })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct CollectingVisitor<'a, V> {
    fields: &'static [&'static str],
    visitor: V,
    unknown: &'a mut UnknownFields,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for CollectingVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(formatter)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(CollectingMap {
            fields: self.fields,
            map,
            unknown: self.unknown,
            names: Vec::new(),
        })
    }
}

struct CollectingMap<'a, 'de, A> {
    fields: &'static [&'static str],
    map: A,
    unknown: &'a mut UnknownFields,
    /// The unknown keys so far, decoded.
    names: Vec<Cow<'de, str>>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for CollectingMap<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<&'de RawValue>()? {
            match text(key) {
                Ok(name) if self.fields.contains(&&*name) => {
                    let name: Cow<'de, str> = name;
                    return seed.deserialize(CowStrDeserializer::new(name)).map(Some);
                }
                name => {
                    // A key with a lone surrogate has no text: it is compared as it is written.
                    let name = name.unwrap_or(Cow::Borrowed(key.get()));
                    if self.names.contains(&name) {
                        return Err(A::Error::custom("an unknown key is there twice"));
                    }
                    self.names.push(name);
                    self.unknown.push(key, self.map.next_value()?);
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
