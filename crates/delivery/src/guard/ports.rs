//! Ports and ranges of ports in settings.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_with::SerializeDisplay;
use thiserror::Error;

use crate::text_or_number;

/// A port or a range of ports: `25`, `6000-6063`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, SerializeDisplay)]
pub struct PortRange(RangeInclusive<u16>);

/// A text that is not a [`PortRange`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is neither a port like 25 nor a range of ports like 6000-6063")]
pub struct PortRangeError(String);

impl PortRange {
    /// Whether it contains this port.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(PortRangeError(text.to_owned())),
        }
    }
}

/// A port may be written as a number.
impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number::deserialize(deserializer)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.start() == self.0.end() {
            true => self.0.start().fmt(formatter),
            false => write!(formatter, "{}-{}", self.0.start(), self.0.end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_parsed_as_they_are_written_or_refused() {
        for text in ["25", "6000-6063", "1-65535"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        assert_eq!(" 7 - 7 ".parse::<PortRange>().unwrap().to_string(), "7");
        for text in [
            "", "0", "-", "7-", "-7", "9-8", "65536", "a", "1-2-3", "+-1",
        ] {
            let error = Err(PortRangeError(text.to_owned()));
            assert_eq!(text.parse::<PortRange>(), error);
        }
        let ports: PortRange = "6000-6063".parse().unwrap();
        let found = [5_999, 6_000, 6_063, 6_064].map(|port| ports.contains(port));
        assert_eq!(found, [false, true, true, false]);
    }
}
