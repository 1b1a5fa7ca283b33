//! Which ports does an operator mean?

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// A port or a range of ports: `25`, `6000-6063`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ports(RangeInclusive<u16>);

/// A text that names no port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no port like 25, nor range of ports like 6000-6063")]
pub struct PortsError(String);

impl Ports {
    /// Whether this port is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(&port)
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(PortsError(text.to_owned())),
        }
    }
}

impl fmt::Display for Ports {
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
    fn ports_are_read_as_they_are_written_or_refused() {
        for text in ["25", "6000-6063", "1-65535"] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), text);
        }
        assert_eq!(" 7 - 7 ".parse::<Ports>().unwrap().to_string(), "7");
        for text in [
            "", "0", "-", "7-", "-7", "9-8", "65536", "a", "1-2-3", "+-1",
        ] {
            assert_eq!(text.parse::<Ports>(), Err(PortsError(text.to_owned())));
        }
        let ports: Ports = "6000-6063".parse().unwrap();
        let found = [5_999, 6_000, 6_063, 6_064].map(|port| ports.contains(port));
        assert_eq!(found, [false, true, true, false]);
    }
}
