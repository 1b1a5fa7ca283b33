//! How are many dead letters replayed or discarded, in small steps and at a certain pace?

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::api::{self, Api};
use super::args::Mend;
use crate::admin::asked::MOST;
use crate::admin::mend::{Discarded, Matched, Replayed};
use crate::admin::moment;
use crate::equipment::host_name;
use crate::failure::Failure;
use crate::say::say;

/// How often a long command says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Replay,
    Discard,
}

impl Deed {
    const fn path(self) -> &'static str {
        match self {
            Self::Replay => "/api/dead/replay",
            Self::Discard => "/api/dead/discard",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Discard => "discarded",
        }
    }

    /// What one step did, whichever deed it is.
    fn read(self, body: &[u8]) -> Result<Replayed, Failure> {
        Ok(match self {
            Self::Replay => api::read(body)?,
            Self::Discard => {
                let Discarded {
                    discarded,
                    more,
                    not_dead,
                } = api::read(body)?;
                Replayed {
                    replayed: usize::try_from(discarded).unwrap_or(usize::MAX),
                    more,
                    not_dead,
                    ..Replayed::default()
                }
            }
        })
    }
}

/// So many in each step, and a step so often.
fn pace(rate: u32) -> (u32, Duration) {
    let step = rate.clamp(1, MOST);
    (step, Duration::from_secs(1) * step / rate.max(1))
}

/// The steps: which dead letters each of them means.
enum Steps {
    Ids(Vec<Uuid>),
    /// The filter, and how many are left to be touched.
    Matching(Value, u64),
}

impl Steps {
    fn next(&mut self, most: u32) -> Option<Value> {
        match self {
            Self::Ids(ids) => {
                let count = ids.len().min(usize::try_from(most).unwrap_or(1));
                let step: Vec<Uuid> = ids.drain(..count).collect();
                (!step.is_empty()).then(|| json!({ "ids": step }))
            }
            Self::Matching(filter, left) => {
                let limit = (*left).min(u64::from(most));
                *left -= limit;
                (limit > 0).then(|| json!({ "filter": filter, "limit": limit }))
            }
        }
    }
}

/// Counts first, asks, then goes step by step.
pub(super) async fn run(deed: Deed, asked: Mend, api: &Api) -> Result<(), Failure> {
    let json = asked.place.json;
    let parameters = asked
        .which
        .parameters(moment::now())
        .map_err(Failure::Found)?;
    let filter: serde_json::Map<String, Value> = parameters
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::String(value)))
        .collect();
    let Matched { matched, now } = count(deed, &asked.ids, &filter, api).await?;
    let all = matched.min(asked.limit.unwrap_or(u64::MAX));
    if asked.dry_run {
        let told = match json {
            true => json!({ "matched": matched }).to_string(),
            false => format!("{} would be {}", letters(all), deed.done()),
        };
        return Ok(say(&told)?);
    }
    if all == 0 && !json {
        return Ok(say("no dead letter matches")?);
    }
    if all > 0 && !asked.yes {
        confirm(deed, all)?;
    }
    let mut steps = match asked.ids.is_empty() {
        false => Steps::Ids(asked.ids),
        true => {
            let mut filter = Value::Object(filter);
            // What dies again meanwhile is not this command's business.
            filter["updated_before"] = json!(now);
            Steps::Matching(filter, all)
        }
    };
    let signed = json!({ "who": who(), "reason": asked.reason.unwrap_or_default() });
    let mut sum = Replayed::default();
    let went = go(
        deed,
        &mut steps,
        asked.rate,
        &signed,
        &mut sum,
        (all, json),
        api,
    )
    .await;
    tell(deed, matched, &sum, json)?;
    went.map_err(|failure| {
        let (sentence, done) = (failure.sentence(), sum.replayed);
        let rest = "the same command goes on with the rest";
        Failure::Found(format!("stopped after {done} of {all}: {sentence}; {rest}"))
    })
}

async fn go(
    deed: Deed,
    steps: &mut Steps,
    rate: u32,
    signed: &Value,
    sum: &mut Replayed,
    (all, quiet): (u64, bool),
    api: &Api,
) -> Result<(), Failure> {
    let (most, every) = pace(rate);
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Instant::now();
    while let Some(mut step) = steps.next(most) {
        tick.tick().await;
        for key in ["who", "reason"] {
            step[key] = signed[key].clone();
        }
        let done = deed.read(&api.post(deed.path(), &step).await?)?;
        sum.replayed += done.replayed;
        sum.pending += done.pending;
        sum.not_dead.extend(done.not_dead);
        sum.unknown.extend(done.unknown);
        if matches!(steps, Steps::Matching(..)) && !done.more {
            break;
        }
        if !quiet && told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            say(&format!("{} {} of {all} ...", deed.done(), sum.replayed))?;
        }
    }
    Ok(())
}

async fn count(
    deed: Deed,
    ids: &[Uuid],
    filter: &serde_json::Map<String, Value>,
    api: &Api,
) -> Result<Matched, Failure> {
    if ids.is_empty() {
        let body = json!({ "filter": filter, "dry_run": true });
        return api::read(&api.post(deed.path(), &body).await?);
    }
    let mut sum = Matched { matched: 0, now: 0 };
    for ids in ids.chunks(usize::try_from(MOST).unwrap_or(1)) {
        let body = json!({ "ids": ids, "dry_run": true });
        let one: Matched = api::read(&api.post(deed.path(), &body).await?)?;
        sum.matched += one.matched;
        sum.now = one.now;
    }
    Ok(sum)
}

fn tell(deed: Deed, matched: u64, sum: &Replayed, json: bool) -> io::Result<()> {
    if json {
        let mut told = json!({ "matched": matched, deed.done(): sum.replayed });
        if deed == Deed::Replay {
            told["pending"] = json!(sum.pending);
            told["unknown"] = json!(sum.unknown);
        }
        told["not_dead"] = json!(sum.not_dead);
        return say(&told.to_string());
    }
    let count = u64::try_from(sum.replayed).unwrap_or(u64::MAX);
    say(&format!("{} {}", deed.done(), letters(count)))?;
    if sum.pending > 0 {
        let pending = sum.pending;
        say(&format!(
            "{pending} more are taken, and published within about a minute"
        ))?;
    }
    for (ids, what) in [
        (&sum.not_dead, "no dead letter"),
        (&sum.unknown, "not known"),
    ] {
        for id in ids {
            say(&format!("{id} is {what}"))?;
        }
    }
    Ok(())
}

fn letters(count: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} dead letter{s}")
}

fn confirm(deed: Deed, count: u64) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let sentence = "nobody is here to be asked: say --yes, or look first with --dry-run";
        return Err(Failure::Found(sentence.to_owned()));
    }
    let what = letters(count);
    say(&format!("{what} will be {}. Go on? [y/N]", deed.done()))?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::Found("nothing was done".to_owned())),
    }
}

/// Who sits here, for the audit log.
pub(super) fn who() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|it| std::env::var(it).ok());
    let user = user.filter(|it| !it.is_empty());
    format!("{}@{}", user.as_deref().unwrap_or("unknown"), host_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_kept_by_small_steps() {
        for (rate, step, ms) in [
            (1, 1, 1_000),
            (100, 100, 1_000),
            (1_000, 1_000, 1_000),
            (4_000, 1_000, 250),
        ] {
            assert_eq!(pace(rate), (step, Duration::from_millis(ms)), "{rate}");
        }
    }

    #[test]
    fn steps_end_when_all_is_done() {
        let mut steps = Steps::Matching(json!({}), 250);
        let limits: Vec<_> = std::iter::from_fn(|| steps.next(100))
            .map(|step| step["limit"].clone())
            .collect();
        assert_eq!(limits, [json!(100), json!(100), json!(50)]);
        let ids: Vec<Uuid> = (0..5).map(Uuid::from_u128).collect();
        let mut steps = Steps::Ids(ids);
        let counts: Vec<_> = std::iter::from_fn(|| steps.next(2))
            .map(|step| step["ids"].as_array().unwrap().len())
            .collect();
        assert_eq!(counts, [2, 2, 1]);
    }

    #[test]
    fn one_dead_letter_is_one() {
        assert_eq!(letters(1), "1 dead letter");
        assert_eq!(letters(2), "2 dead letters");
        assert!(who().contains('@'));
    }
}
