//! The fields of a JSON object, with the bytes of their values unchanged.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::ParamError;

/// Calls `found` with each key and value of the object in `json`, in order.
///
/// # Errors
/// serde_json's: of category `Data` if `json` is not an object, else where the JSON is broken.
pub(crate) fn each_field<'a, F>(json: &'a str, found: F) -> Result<(), serde_json::Error>
where
    F: FnMut(&'a RawValue, &'a RawValue),
{
    let mut deserializer = serde_json::Deserializer::from_str(json);
    EachField(found).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Collects the fields with these names, in this order. Others are ignored.
///
/// # Errors
/// Those of [`each_field`].
pub(crate) fn known_fields<'a, const N: usize>(
    json: &'a str,
    names: &[&str; N],
) -> Result<[Field<'a>; N], serde_json::Error> {
    known_and_other_fields(json, names, |_| {})
}

/// Collects the fields with these names, in this order, and calls `other` with the names of the rest.
///
/// # Errors
/// Those of [`each_field`].
pub(crate) fn known_and_other_fields<'a, const N: usize>(
    json: &'a str,
    names: &[&str; N],
    mut other: impl FnMut(&str),
) -> Result<[Field<'a>; N], serde_json::Error> {
    let mut fields = [Field::default(); N];
    each_field(json, |key, value| {
        // A key may be written with escapes: "app\u005fid" is app_id. A key that is not text (a
        // lone surrogate) matches no name.
        let Ok(key) = text(key) else { return };
        if let Some((_, field)) = names
            .iter()
            .zip(&mut fields)
            .find(|(name, _)| **name == key)
        {
            field.duplicate = field.value.is_some();
            field.value = Some(value);
        } else {
            other(&key);
        }
    })?;
    Ok(fields)
}

/// The text of a JSON string, borrowed if it has no escapes.
///
/// # Errors
/// [`ParamError::NotText`] if it is not a string, [`ParamError::LoneSurrogate`] if it cannot be
/// UTF-8.
pub(crate) fn text(value: &RawValue) -> Result<Cow<'_, str>, ParamError> {
    let json = value.get();
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        None => Err(ParamError::NotText),
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        // The escapes were checked when the value was parsed; surrogate pairs were not.
        Some(_) => serde_json::from_str(json)
            .map(Cow::Owned)
            .map_err(|_| ParamError::LoneSurrogate),
    }
}

/// Whether a value is an object. A raw value never begins with white space.
pub(crate) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// One known field as the caller gave it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Field<'a> {
    value: Option<&'a RawValue>,
    duplicate: bool,
}

impl<'a> Field<'a> {
    /// The value, unless absent or null.
    ///
    /// # Errors
    /// [`ParamError::Duplicate`], as for all methods here.
    pub(crate) fn given(self) -> Result<Option<&'a RawValue>, ParamError> {
        if self.duplicate {
            return Err(ParamError::Duplicate);
        }
        Ok(self.value.filter(|value| value.get() != "null"))
    }

    /// The value, unless absent, null or a blank string.
    pub(crate) fn not_blank(self) -> Result<Option<&'a RawValue>, ParamError> {
        let value = self.given()?;
        Ok(value.filter(|value| !text(value).is_ok_and(|text| is_blank(&text))))
    }

    /// The string, unless absent or null.
    pub(crate) fn text(self) -> Result<Option<Cow<'a, str>>, ParamError> {
        self.given()?.map(text).transpose()
    }

    /// The string, unless absent, null or blank.
    pub(crate) fn filled_text(self) -> Result<Option<Cow<'a, str>>, ParamError> {
        Ok(self.text()?.filter(|text| !is_blank(text)))
    }

    /// The object, unless absent, null or a blank string.
    pub(crate) fn object(self) -> Result<Option<&'a RawValue>, ParamError> {
        match self.not_blank()? {
            Some(value) if !is_object(value) => Err(ParamError::NotObject),
            value => Ok(value),
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// A visitor that passes each key and value on, so that no tree is built.
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
