//! Serde adapter: Unix ms, written as RFC 3339.

use serde::{Deserialize, Deserializer, Serializer};

use super::timestamp;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn serialize<S: Serializer>(ms: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&contract::rfc3339(*ms))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    timestamp::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// The same for an optional value; use with `default` and `skip_serializing_if`.
pub(crate) mod option {
    use serde::{Deserializer, Serializer};

    use crate::api::rfc3339;

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(ms: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        match ms {
            Some(ms) => rfc3339::serialize(ms, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        rfc3339::deserialize(from).map(Some)
    }
}
