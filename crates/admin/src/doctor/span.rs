//! Spans of time in both languages: `2m 5s`, `2 分 5 秒`.

use std::time::Duration;

use super::said::Said;

/// Units, the longest first, with their seconds.
const UNITS: [(u64, &str); 4] = [(86_400, "天"), (3_600, "小时"), (60, "分"), (1, "秒")];

/// The span in whole seconds.
pub(crate) fn spoken(span: Duration) -> Said {
    let seconds = span.as_secs();
    let english = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    Said::both(english, chinese(seconds))
}

fn chinese(seconds: u64) -> String {
    let (mut parts, mut left) = (Vec::new(), seconds);
    for (length, unit) in UNITS {
        let count = left / length;
        left %= length;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        }
    }
    match parts.is_empty() {
        true => "0 秒".to_owned(),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::said::Spoken as _;

    #[test]
    fn a_span_is_written_in_both_languages() {
        for (seconds, english, chinese) in [
            (0, "0s", "0 秒"),
            (125, "2m 5s", "2 分 5 秒"),
            (7_200, "2h", "2 小时"),
            (90_061, "1day 1h 1m 1s", "1 天 1 小时 1 分 1 秒"),
        ] {
            let said = spoken(Duration::from_secs(seconds));
            assert_eq!((&*said.english(), &*said.chinese()), (english, chinese));
        }
    }
}
