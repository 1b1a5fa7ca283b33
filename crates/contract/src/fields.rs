//! What does a JSON object hold, with the bytes of its values left as they are?

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::flaw::Flaw;

/// Calls `found` with each key and value of the object that `json` holds, in order.
///
/// # Errors
/// serde_json's: of category `Data` when `json` is no object, else where the JSON is broken.
pub(crate) fn each_field<'a, F>(json: &'a str, found: F) -> Result<(), serde_json::Error>
where
    F: FnMut(&'a RawValue, &'a RawValue),
{
    let mut deserializer = serde_json::Deserializer::from_str(json);
    EachField(found).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Collects the fields with these names, in their order. Others are ignored.
///
/// # Errors
/// As [`each_field`].
pub(crate) fn known_fields<'a, const N: usize>(
    json: &'a str,
    names: &[&str; N],
) -> Result<[Field<'a>; N], serde_json::Error> {
    let mut fields = [Field::default(); N];
    each_field(json, |key, value| {
        // A key may be spelt with escapes: "app\u005fid" is app_id. One that is no text at
        // all (a lone surrogate) is none of ours.
        let Ok(key) = text(key) else { return };
        if let Some((_, field)) = names
            .iter()
            .zip(&mut fields)
            .find(|(name, _)| **name == key)
        {
            field.twice = field.value.is_some();
            field.value = Some(value);
        }
    })?;
    Ok(fields)
}

/// The text of a JSON string, borrowed where it has no escapes.
///
/// # Errors
/// [`Flaw::NotText`] when it is no string, [`Flaw::LoneSurrogate`] when it cannot be UTF-8.
pub(crate) fn text(value: &RawValue) -> Result<Cow<'_, str>, Flaw> {
    let json = value.get();
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        None => Err(Flaw::NotText),
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        // The escapes were checked when the value was read; pairing surrogates was not.
        Some(_) => serde_json::from_str(json)
            .map(Cow::Owned)
            .map_err(|_| Flaw::LoneSurrogate),
    }
}

/// Whether a value is an object. A value begins with its first byte, never with a space.
pub(crate) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// What the caller gave for one known field.
#[derive(Clone, Copy, Default)]
pub(crate) struct Field<'a> {
    value: Option<&'a RawValue>,
    twice: bool,
}

impl<'a> Field<'a> {
    /// The value, unless absent or null.
    ///
    /// # Errors
    /// [`Flaw::Duplicate`], as for all methods here.
    pub(crate) fn given(self) -> Result<Option<&'a RawValue>, Flaw> {
        if self.twice {
            return Err(Flaw::Duplicate);
        }
        Ok(self.value.filter(|value| value.get() != "null"))
    }

    /// The value, unless absent, null or a blank string.
    pub(crate) fn not_blank(self) -> Result<Option<&'a RawValue>, Flaw> {
        let value = self.given()?;
        Ok(value.filter(|value| !text(value).is_ok_and(|text| is_blank(&text))))
    }

    /// The string, unless absent or null.
    pub(crate) fn text(self) -> Result<Option<Cow<'a, str>>, Flaw> {
        self.given()?.map(text).transpose()
    }

    /// The string, unless absent, null or blank.
    pub(crate) fn filled_text(self) -> Result<Option<Cow<'a, str>>, Flaw> {
        Ok(self.text()?.filter(|text| !is_blank(text)))
    }

    /// The object, unless absent, null or a blank string.
    pub(crate) fn object(self) -> Result<Option<&'a RawValue>, Flaw> {
        match self.not_blank()? {
            Some(value) if !is_object(value) => Err(Flaw::NotObject),
            value => Ok(value),
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// A visitor that hands each key and value on, so that no tree is built.
struct EachField<F>(F);

impl<'de, F: FnMut(&'de RawValue, &'de RawValue)> DeserializeSeed<'de> for EachField<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&'de RawValue, &'de RawValue)> Visitor<'de> for EachField<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry()? {
            (self.0)(key, value);
        }
        Ok(())
    }
}
