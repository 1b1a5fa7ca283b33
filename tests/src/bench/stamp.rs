//! When was a callback due? It says so itself, in nanoseconds since this process began to measure.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

const WORD: &[u8] = b"\"due\":\"";
const DIGITS: usize = 20;
/// What a template holds in the place of a stamp.
pub(super) const BLANK: &str = "00000000000000000000";

/// Where the stamp of a template begins.
pub(super) fn place(template: &[u8]) -> Option<usize> {
    super::load::find(template, WORD).map(|place| place + WORD.len())
}

/// Writes the moment into a template.
pub(super) fn set(template: &mut [u8], place: usize, due: Instant) {
    let since = due.saturating_duration_since(*EPOCH).as_nanos().max(1);
    let digits = format!("{since:020}");
    template[place..place + DIGITS].copy_from_slice(digits.as_bytes());
}

/// How long ago the moment was that a message names. None: it names none.
pub(super) fn age(message: &[u8]) -> Option<Duration> {
    let begin = place(message)?;
    let digits = message.get(begin..begin + DIGITS)?;
    let since: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (since > 0).then(|| EPOCH.elapsed().saturating_sub(Duration::from_nanos(since)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_and_its_age_told() {
        let mut message = format!(r#"{{"due":"{BLANK}","text":"x"}}"#).into_bytes();
        let found = place(&message).unwrap();
        assert_eq!(age(&message), None, "not stamped yet");
        set(&mut message, found, Instant::now());
        let young = age(&message).unwrap();
        assert!(young < Duration::from_secs(60), "{young:?}");
        assert_eq!(age(b"{}"), None);
    }
}
