//! Says when all that a command retries has been attempted.

use std::time::Duration;

use super::local_time;
use super::table;
use crate::api::estimate::{EstimateView, TargetEstimateView, done_in};
use crate::api::pace;

/// How many targets are named.
const MAX_NAMED: usize = 5;

/// What is known of `total` callbacks of the `matched` that the estimate is for, `rate` of which are
/// published a second from `now` on, Unix ms.
pub(super) fn sentences(
    estimate: &EstimateView,
    (total, matched): (u64, u64),
    rate: u32,
    now: u64,
) -> Vec<String> {
    let published = pace::time_for(total, f64::from(rate)).map_or_else(forever, span);
    let mut all = vec![format!(
        "at {rate} per second they are published within {published}"
    )];
    let limiting = estimate.targets.iter().filter(|it| is_slower(it, rate));
    all.extend(limiting.clone().take(MAX_NAMED).map(target));
    let others = limiting.count().saturating_sub(MAX_NAMED);
    if others > 0 {
        all.push(format!(
            "and {others} more targets that are slower than this"
        ));
    }
    if estimate.extrapolated {
        all.push(
            "the shares of targets are those of the newest of them: an extrapolation".to_owned(),
        );
    }
    all.push(match done_in(&estimate.targets, (total, matched), Some(rate)) {
        Some(time) => {
            let at = now.saturating_add(contract::duration_ms(time));
            format!(
                "all are attempted by about {} (in {}): an estimate, by the targets' last five minutes",
                local_time::show(at),
                span(time)
            )
        }
        None => "when all are attempted is not known".to_owned(),
    });
    all
}

/// Whether it determines when all are done.
fn is_slower(target: &TargetEstimateView, rate: u32) -> bool {
    target.per_second.is_none_or(|pace| pace < f64::from(rate))
}

fn target(target: &TargetEstimateView) -> String {
    let name = match (&target.callee_no, &target.target) {
        (Some(no), _) => table::named(no, target.name.as_ref()),
        (None, Some(target)) => target.clone(),
        (None, None) => "others".to_owned(),
    };
    let (count, unknown) = (
        target.count,
        target.unknown.as_ref().map(ToString::to_string),
    );
    match target.per_second {
        Some(per_second) => {
            let time = pace::time_for(count, per_second).map_or_else(forever, span);
            let pace = pace::words(per_second);
            format!("{name}: {count} of them, at about {pace}: {time}")
        }
        None => format!(
            "{name}: {count} of them; its pace is not known: {}",
            unknown.as_deref().unwrap_or("no reason is given")
        ),
    }
}

fn span(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

fn forever() -> String {
    "more than a lifetime".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: &str, count: u64, per_second: Option<f64>) -> TargetEstimateView {
        TargetEstimateView {
            target: Some(target.to_owned()),
            count,
            per_second,
            unknown: per_second.is_none().then(|| "it is paused".into()),
            ..TargetEstimateView::default()
        }
    }

    #[test]
    fn the_slower_target_is_named_and_the_end_is_an_estimate() {
        let estimate = EstimateView {
            done_in_s: Some(40),
            extrapolated: false,
            targets: vec![
                of("https://slow", 400, Some(10.0)),
                of("https://fast", 600, Some(500.0)),
            ],
        };
        let lines = sentences(&estimate, (1_000, 1_000), 100, 0);
        assert_eq!(lines[0], "at 100 per second they are published within 10s");
        assert_eq!(
            lines[1],
            "https://slow: 400 of them, at about 10 per second: 40s"
        );
        assert!(
            lines[2].starts_with("all are attempted by about "),
            "{lines:?}"
        );
        assert!(lines[2].contains("(in 40s): an estimate"), "{lines:?}");
        assert_eq!(lines.len(), 3);
        // Half of them, of which two fifths are for the slow one.
        let half = sentences(&estimate, (500, 1_000), 100, 0);
        assert!(half.last().unwrap().contains("(in 20s)"), "{half:?}");
    }

    #[test]
    fn an_unknown_pace_makes_the_end_unknown() {
        let estimate = EstimateView {
            done_in_s: None,
            extrapolated: true,
            targets: vec![of("https://x", 3, None), of("https://fast", 7, Some(500.0))],
        };
        let lines = sentences(&estimate, (10, 10), 100, 0);
        assert_eq!(
            lines,
            [
                "at 100 per second they are published within 1s",
                "https://x: 3 of them; its pace is not known: it is paused",
                "the shares of targets are those of the newest of them: an extrapolation",
                "when all are attempted is not known",
            ]
        );
    }
}
