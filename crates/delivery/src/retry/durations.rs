//! Lists of durations in settings: `#[serde(with = "durations")]` on a `Vec<Duration>`.

use std::time::Duration;

use humantime_serde::Serde;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes each duration as text: `5s`, `2m`.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(durations: &[Duration], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(durations.iter().copied().map(Serde::from))
}

/// Reads a list of texts such as `5s`, `2min`.
///
/// # Errors
/// The deserializer's, and for a text that is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    let durations = Vec::<Serde<Duration>>::deserialize(from)?;
    Ok(durations.into_iter().map(Serde::into_inner).collect())
}
