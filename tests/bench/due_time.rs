//! The due time of a callback, written into its body as nanoseconds since this process began to
//! measure.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::load::find;

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

const FIELD: &[u8] = b"\"due\":\"";
const DIGITS: usize = 20;
/// What a template contains where the due time goes.
pub(crate) const BLANK: &str = "00000000000000000000";

/// Where the due time of a template begins.
pub(crate) fn position(template: &[u8]) -> Option<usize> {
    find(template, FIELD).map(|field| field + FIELD.len())
}

/// Writes the due time into a template.
pub(crate) fn set(template: &mut [u8], position: usize, due: Instant) {
    let since = due.saturating_duration_since(*EPOCH).as_nanos().max(1);
    let digits = format!("{since:020}");
    template[position..position + DIGITS].copy_from_slice(digits.as_bytes());
}

/// The time since a message was due; none if it does not say.
pub(crate) fn age(message: &[u8]) -> Option<Duration> {
    let begin = position(message)?;
    let digits = message.get(begin..begin + DIGITS)?;
    let since: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (since > 0).then(|| EPOCH.elapsed().saturating_sub(Duration::from_nanos(since)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_time_is_found_with_its_age() {
        let mut message = format!(r#"{{"due":"{BLANK}","text":"x"}}"#).into_bytes();
        let found = position(&message).unwrap();
        assert_eq!(age(&message), None, "not set yet");
        set(&mut message, found, Instant::now());
        let age_now = age(&message).unwrap();
        assert!(age_now < Duration::from_secs(60), "{age_now:?}");
        assert_eq!(age(b"{}"), None);
    }
}
