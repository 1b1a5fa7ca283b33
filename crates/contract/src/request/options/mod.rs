//! The object `options` of a request, which the original contract does not have.

use serde::{Deserialize, Serialize};

use super::fields::{Field, known_and_other_fields};
use super::headers;
use crate::error::{Invalid, Param, ParamError};
use crate::unknown_fields::UnknownFields;

mod unknown;

#[cfg(test)]
mod tests;

use unknown::UnknownOptions;

/// Seven days, the maximum of delay and expiry.
const WEEK_SECONDS: u32 = 604_800;

/// The fields in the order in which they are checked.
const NAMES: [&str; 5] = [
    "delay_seconds",
    "expire_seconds",
    "max_attempts",
    "timeout_seconds",
    "headers",
];

/// The caller's options for one callback; where one is `None`, the configuration applies.
///
/// They travel in the queue message, see `queue/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Make the first attempt this many seconds after acceptance, 0 to 604,800.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u32>,
    /// Give up at this age in seconds, 1 to 604,800, and more than the delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_seconds: Option<u32>,
    /// Make at most this many attempts, 1 to 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// The deadline of one whole attempt in seconds, 1 to 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Extra headers for the target, in the caller's order and spelling: at most 16, 4 KiB in
    /// total, no duplicates, none that the gateway or the connection sets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Keys of the queue message's `options` that this gateway does not know. Empty in a request:
    /// there, unknown keys are ignored.
    #[serde(skip)]
    pub unknown: UnknownFields,
}

impl Options {
    /// Whether nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Parses the request's `options`, and says which keys are not known.
    pub(super) fn parse(field: Field<'_>) -> Result<(Self, UnknownOptions), Invalid> {
        let malformed = |error| Invalid::Malformed(Param::Options, error);
        let Some(object) = field.object().map_err(malformed)? else {
            return Ok(Default::default());
        };
        let mut others = UnknownOptions::default();
        let [delay, expire, max_attempts, timeout, headers] =
            known_and_other_fields(object.get(), &NAMES, |name| others.add(name))
                .map_err(|_| malformed(ParamError::NotObject))?;
        let options = Self {
            delay_seconds: integer(delay, Param::DelaySeconds, 0, WEEK_SECONDS)?,
            expire_seconds: integer(expire, Param::ExpireSeconds, 1, WEEK_SECONDS)?,
            max_attempts: integer(max_attempts, Param::MaxAttempts, 1, 20)?,
            timeout_seconds: integer(timeout, Param::TimeoutSeconds, 1, 60)?,
            headers: headers
                .not_blank()
                .and_then(|value| value.map_or(Ok(Vec::new()), headers::parse))
                .map_err(|error| Invalid::Malformed(Param::Headers, error))?,
            unknown: UnknownFields::default(),
        };
        options.check_expiry()?;
        Ok((options, others))
    }

    /// Refuses an expiry before the first attempt is due: the callback could never be delivered.
    fn check_expiry(&self) -> Result<(), Invalid> {
        let (Some(delay), Some(expire)) = (self.delay_seconds, self.expire_seconds) else {
            return Ok(());
        };
        if delay < expire {
            return Ok(());
        }
        // No expiry is late enough for the maximum delay: then the delay is what must change.
        Err(if delay == WEEK_SECONDS {
            let error = ParamError::OutOfRange {
                min: 0,
                max: expire.saturating_sub(1),
            };
            Invalid::Malformed(Param::DelaySeconds, error)
        } else {
            let error = ParamError::OutOfRange {
                min: delay + 1,
                max: WEEK_SECONDS,
            };
            Invalid::Malformed(Param::ExpireSeconds, error)
        })
    }
}

/// Parses an integer from `min` to `max`; absent, null and blank are `None`.
fn integer(field: Field<'_>, param: Param, min: u32, max: u32) -> Result<Option<u32>, Invalid> {
    let malformed = |error| Invalid::Malformed(param, error);
    let Some(value) = field.not_blank().map_err(malformed)? else {
        return Ok(None);
    };
    let json = value.get();
    let digits = json.strip_prefix('-').unwrap_or(json);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed(ParamError::NotInteger));
    }
    // An integer that does not fit an i64 is out of range, not malformed.
    let number = json
        .parse::<i64>()
        .ok()
        .and_then(|number| u32::try_from(number).ok());
    match number.filter(|number| (min..=max).contains(number)) {
        None => Err(malformed(ParamError::OutOfRange { min, max })),
        number => Ok(number),
    }
}
