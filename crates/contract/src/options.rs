//! What may a caller ask for beyond the original contract?

use serde::{Deserialize, Serialize};

use crate::fields::{Field, known_fields};
use crate::headers;
use crate::{Flaw, Invalid, Param};

#[cfg(test)]
mod tests;

/// Seven days, the longest delay and the latest expiry.
const WEEK_SECONDS: u32 = 604_800;

/// The names in the order in which they are checked.
const NAMES: [&str; 5] = [
    "delay_seconds",
    "expire_seconds",
    "max_attempts",
    "timeout_seconds",
    "headers",
];

/// The caller's wishes for this one callback; what is `None` is decided by configuration.
///
/// It is part of the queue message: a change here is a new message version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Make the first attempt this many seconds after acceptance, 0 to 604,800.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u32>,
    /// Give up when this many seconds old, 1 to 604,800, and more than the delay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_seconds: Option<u32>,
    /// Make at most this many attempts, 1 to 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Wait this many seconds for one whole attempt, 1 to 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Extra headers for the target, in the caller's order and spelling; at most 16, 4 KiB in
    /// all, none of them ours or the connection's, none twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

impl Options {
    /// Whether the caller asked for nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the request's `options`. Unknown keys are ignored.
    pub(crate) fn parse(field: Field<'_>) -> Result<Self, Invalid> {
        let malformed = |flaw| Invalid::Malformed(Param::Options, flaw);
        let Some(object) = field.object().map_err(malformed)? else {
            return Ok(Self::default());
        };
        let [delay, expire, max_attempts, timeout, headers] =
            known_fields(object.get(), &NAMES).map_err(|_| malformed(Flaw::NotObject))?;
        let options = Self {
            delay_seconds: integer(delay, Param::DelaySeconds, 0, WEEK_SECONDS)?,
            expire_seconds: integer(expire, Param::ExpireSeconds, 1, WEEK_SECONDS)?,
            max_attempts: integer(max_attempts, Param::MaxAttempts, 1, 20)?,
            timeout_seconds: integer(timeout, Param::TimeoutSeconds, 1, 60)?,
            headers: headers
                .not_blank()
                .and_then(|value| value.map_or(Ok(Vec::new()), headers::parse))
                .map_err(|flaw| Invalid::Malformed(Param::Headers, flaw))?,
        };
        options.can_be_delivered_in_time()?;
        Ok(options)
    }

    /// A callback that expires before its first attempt is due could never be delivered.
    fn can_be_delivered_in_time(&self) -> Result<(), Invalid> {
        let (Some(delay), Some(expire)) = (self.delay_seconds, self.expire_seconds) else {
            return Ok(());
        };
        if delay < expire {
            return Ok(());
        }
        // After the longest delay no expiry is late enough: then it is the delay that must change.
        Err(if delay == WEEK_SECONDS {
            let flaw = Flaw::OutOfRange {
                min: 0,
                max: expire.saturating_sub(1),
            };
            Invalid::Malformed(Param::DelaySeconds, flaw)
        } else {
            let flaw = Flaw::OutOfRange {
                min: delay + 1,
                max: WEEK_SECONDS,
            };
            Invalid::Malformed(Param::ExpireSeconds, flaw)
        })
    }
}

/// Reads an integer from `min` to `max`; absent, null and blank are `None`.
fn integer(field: Field<'_>, param: Param, min: u32, max: u32) -> Result<Option<u32>, Invalid> {
    let malformed = |flaw| Invalid::Malformed(param, flaw);
    let Some(value) = field.not_blank().map_err(malformed)? else {
        return Ok(None);
    };
    let json = value.get();
    let digits = json.strip_prefix('-').unwrap_or(json);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed(Flaw::NotInteger));
    }
    // What no i64 holds is an integer all the same, and out of range.
    let number = json
        .parse::<i64>()
        .ok()
        .and_then(|number| u32::try_from(number).ok());
    match number.filter(|number| (min..=max).contains(number)) {
        None => Err(malformed(Flaw::OutOfRange { min, max })),
        number => Ok(number),
    }
}
