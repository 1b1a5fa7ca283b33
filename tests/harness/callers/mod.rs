//! Many callers that POST at once, and the answer that each of them got.

mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ledger::Acceptance;
use crate::until_none_left;

pub use wire::Wire;

/// Pause of a caller after an answer other than `000`.
const BACKOFF: Duration = Duration::from_millis(50);

/// How long a caller waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long no callback may be accepted at all. How fast they are depends on the machine.
const STUCK_TIMEOUT: Duration = Duration::from_secs(60);

/// A caller's answer, and how long it took.
#[derive(Debug, Clone)]
pub struct CallerAnswer {
    /// The callback's token.
    pub token: u64,
    /// Which connection it was, from 0.
    pub connection: usize,
    /// When the request was written.
    pub began: Instant,
    /// How long it took to the end of the answer.
    pub took: Duration,
    /// The HTTP status; none without an answer.
    pub status: Option<u16>,
    /// What it means.
    pub acceptance: Acceptance,
}

impl CallerAnswer {
    /// Whether it was `000`.
    pub fn accepted(&self) -> bool {
        matches!(self.acceptance, Acceptance::Accepted(_))
    }

    /// Whether the callback was definitely refused.
    pub fn refused(&self) -> bool {
        self.acceptance == Acceptance::Refused
    }
}

/// Between two callbacks of all callers that have no end.
const PACE: Duration = Duration::from_millis(2);

/// Running callers, each on a connection of its own; stopped when dropped.
#[derive(Debug)]
pub struct Callers {
    answers: Arc<Mutex<Vec<CallerAnswer>>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Callers {
    /// Starts callers that POST callbacks to these targets in turn, until [`Callers::stop`] or, in
    /// total, `max_callbacks`. With [`u64::MAX`] they send 500 a second together: what they send while
    /// a test waits must be delivered before it ends.
    pub fn start(
        ingress: SocketAddr,
        targets: &[String],
        connections: usize,
        max_callbacks: u64,
    ) -> Self {
        let answers = Arc::<Mutex<Vec<CallerAnswer>>>::default();
        let (stop, left) = (
            CancellationToken::new(),
            Arc::new(AtomicU64::new(max_callbacks)),
        );
        let targets: Arc<[String]> = targets.into();
        let between = match max_callbacks {
            u64::MAX => PACE * u32::try_from(connections).unwrap(),
            _ => Duration::ZERO,
        };
        let mut tasks = JoinSet::new();
        for connection in 0..connections {
            let (answers, stop) = (answers.clone(), stop.clone());
            let (left, targets) = (left.clone(), targets.clone());
            tasks.spawn(async move {
                let mut wire = Wire::to(ingress);
                let one = |left: u64| left.checked_sub(1);
                let order = (Ordering::Relaxed, Ordering::Relaxed);
                while !stop.is_cancelled()
                    && let Ok(number) = left.fetch_update(order.0, order.1, one)
                {
                    let number = usize::try_from(number).unwrap();
                    let answer =
                        post(&mut wire, connection, &targets[number % targets.len()]).await;
                    let accepted = answer.accepted();
                    lock(&answers).push(answer);
                    let pause = match accepted {
                        false => BACKOFF,
                        true => between,
                    };
                    if !pause.is_zero() {
                        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    }
                }
            });
        }
        Self {
            answers,
            stop,
            tasks,
        }
    }

    /// How many answers so far match.
    pub fn count(&self, matches: impl Fn(&CallerAnswer) -> bool) -> usize {
        lock(&self.answers)
            .iter()
            .filter(|answer| matches(answer))
            .count()
    }

    /// All answers so far.
    pub fn so_far(&self) -> Vec<CallerAnswer> {
        lock(&self.answers).clone()
    }

    /// Waits until this many more callbacks are accepted.
    ///
    /// # Panics
    /// When none is accepted for a while.
    pub async fn accepted_more(&self, more: usize) {
        let enough = self.count(CallerAnswer::accepted) + more;
        until_none_left(
            "callbacks still to be accepted",
            STUCK_TIMEOUT,
            async || {
                let left = enough.saturating_sub(self.count(CallerAnswer::accepted));
                Ok((left, format!("{left} of {more}")))
            },
        )
        .await;
    }

    /// Lets every caller finish its current callback, and stops.
    pub async fn stop(self) -> Vec<CallerAnswer> {
        self.stop.cancel();
        self.done().await
    }

    /// Waits until all callbacks are answered.
    pub async fn done(mut self) -> Vec<CallerAnswer> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a caller");
        }
        std::mem::take(&mut lock(&self.answers))
    }
}

fn lock(answers: &Mutex<Vec<CallerAnswer>>) -> std::sync::MutexGuard<'_, Vec<CallerAnswer>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// POSTs a callback with a new token for this target.
pub async fn post(wire: &mut Wire, connection: usize, target: &str) -> CallerAnswer {
    let token = next_token();
    let body = request(token, target);
    let began = Instant::now();
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, wire.post(body.as_bytes())).await;
    let (status, acceptance) = match answered {
        Ok(Ok((status, body))) => (Some(status), acceptance(status, &body)),
        // Nobody listens, so nothing was written.
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            (None, Acceptance::Refused)
        }
        Ok(Err(_)) | Err(_) => {
            wire.hang_up();
            (None, Acceptance::Unknown(None))
        }
    };
    CallerAnswer {
        token,
        connection,
        began,
        took: began.elapsed(),
        status,
        acceptance,
    }
}

/// A token that no other callback of this process has.
pub fn next_token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The `request_message` with a token. Its spaces and number format are deliberate: parsing and
/// serialising it again would change it.
pub fn message(token: u64) -> String {
    format!(r#"{{ "token" :{token}, "n":1.50e+2,"text":"\u56de 调" }}"#)
}

/// The token in a `request_message`, if there is one.
pub fn token(message: &[u8]) -> Option<u64> {
    let message: Value = serde_json::from_slice(message).ok()?;
    message.get("token")?.as_u64()
}

/// The whole body of a callback.
pub fn request(token: u64, target: &str) -> String {
    let message = message(token);
    format!(
        r#"{{"callback_url":"{target}","app_id":"callers","message_type":"token","request_message":{message}}}"#
    )
}

/// The ids of the callbacks that were accepted.
pub fn accepted_ids(answers: &[CallerAnswer]) -> impl Iterator<Item = &str> {
    answers
        .iter()
        .filter_map(|answer| match &answer.acceptance {
            Acceptance::Accepted(id) => Some(&**id),
            Acceptance::Refused | Acceptance::Unknown(_) => None,
        })
}

/// What an answer means by the contract.
pub fn acceptance(status: u16, body: &[u8]) -> Acceptance {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = body.get("request_id").and_then(Value::as_str);
    match (status, body.get("code").and_then(Value::as_str), id) {
        (200, Some("000"), Some(id)) => Acceptance::Accepted(id.to_owned()),
        (400..=499 | 503, Some(_), None) => Acceptance::Refused,
        (_, _, id) => Acceptance::Unknown(id.map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_means_what_the_contract_says() {
        for (status, body, expected) in [
            (
                200,
                r#"{"code":"000","request_id":"a"}"#,
                Acceptance::Accepted("a".to_owned()),
            ),
            (200, r#"{"code":"000"}"#, Acceptance::Unknown(None)),
            (503, r#"{"code":"500"}"#, Acceptance::Refused),
            (
                503,
                r#"{"code":"500","request_id":"a"}"#,
                Acceptance::Unknown(Some("a".to_owned())),
            ),
            (400, r#"{"code":"400"}"#, Acceptance::Refused),
            (503, "a balancer's page", Acceptance::Unknown(None)),
            (500, r#"{"code":"500"}"#, Acceptance::Unknown(None)),
        ] {
            assert_eq!(
                acceptance(status, body.as_bytes()),
                expected,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_token_is_found_again() {
        assert_eq!(token(message(7).as_bytes()), Some(7));
        let request: Value = serde_json::from_str(&request(8, "http://x")).unwrap();
        assert_eq!(request["request_message"]["token"], 8);
        assert_eq!(token(b"{}"), None);
    }
}
