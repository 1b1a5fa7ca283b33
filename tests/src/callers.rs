//! How do many callers POST at once, and what was each of them told?

mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dwindles;
use crate::ledger::Told;

pub use wire::Wire;

/// A caller that was not told `000` tries its next callback after this time, as a polite one does.
const POLITE: Duration = Duration::from_millis(50);

/// A caller that waited this long for an answer gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long no callback at all may be accepted before the gateway is called stuck. How fast they
/// are is the machine's affair.
const STUCK: Duration = Duration::from_secs(60);

/// What a caller was told, and how long it took.
#[derive(Debug, Clone)]
pub struct Answer {
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
    pub told: Told,
}

impl Answer {
    /// Whether it was `000`.
    pub fn accepted(&self) -> bool {
        matches!(self.told, Told::Accepted(_))
    }

    /// Whether it was a refusal for certain.
    pub fn refused(&self) -> bool {
        self.told == Told::Refused
    }
}

/// Callers under way, each on a connection of its own; gone when dropped.
#[derive(Debug)]
pub struct Callers {
    answers: Arc<Mutex<Vec<Answer>>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Callers {
    /// Starts so many callers that POST callbacks to these targets, one after the other, until
    /// [`Callers::stop`] or, all together, `most` callbacks.
    pub fn start(ingress: SocketAddr, targets: &[String], connections: usize, most: u64) -> Self {
        let answers = Arc::<Mutex<Vec<Answer>>>::default();
        let (stop, left) = (CancellationToken::new(), Arc::new(AtomicU64::new(most)));
        let targets: Arc<[String]> = targets.into();
        let mut tasks = JoinSet::new();
        for connection in 0..connections {
            let (answers, stop) = (answers.clone(), stop.clone());
            let (left, targets) = (left.clone(), targets.clone());
            tasks.spawn(async move {
                let mut wire = Wire::to(ingress);
                let one = |left: u64| left.checked_sub(1);
                let order = (Ordering::Relaxed, Ordering::Relaxed);
                while !stop.is_cancelled()
                    && let Ok(turn) = left.fetch_update(order.0, order.1, one)
                {
                    let turn = usize::try_from(turn).unwrap();
                    let answer = ask(&mut wire, connection, &targets[turn % targets.len()]).await;
                    let accepted = answer.accepted();
                    lock(&answers).push(answer);
                    if !accepted {
                        let pause = tokio::time::sleep(POLITE);
                        stop.run_until_cancelled(pause).await;
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

    /// How many answers so far are such.
    pub fn count(&self, such: impl Fn(&Answer) -> bool) -> usize {
        lock(&self.answers)
            .iter()
            .filter(|answer| such(answer))
            .count()
    }

    /// Waits until so many more callbacks are accepted than now.
    ///
    /// # Panics
    /// When none is, for a while.
    pub async fn accepted_more(&self, more: usize) {
        let enough = self.count(Answer::accepted) + more;
        dwindles("callbacks still to be accepted", STUCK, async || {
            let left = enough.saturating_sub(self.count(Answer::accepted));
            Ok((left, format!("{left} of {more}")))
        })
        .await;
    }

    /// Lets every caller have the answer to its last callback, and no other.
    pub async fn stop(self) -> Vec<Answer> {
        self.stop.cancel();
        self.done().await
    }

    /// Waits until all callbacks are answered.
    pub async fn done(mut self) -> Vec<Answer> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a caller");
        }
        std::mem::take(&mut lock(&self.answers))
    }
}

fn lock(answers: &Mutex<Vec<Answer>>) -> std::sync::MutexGuard<'_, Vec<Answer>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// POSTs a callback with a token of its own to this target.
pub async fn ask(wire: &mut Wire, connection: usize, target: &str) -> Answer {
    let token = next_token();
    let body = request(token, target);
    let began = Instant::now();
    let answered = tokio::time::timeout(PATIENCE, wire.post(body.as_bytes())).await;
    let (status, told) = match answered {
        Ok(Ok((status, body))) => (Some(status), told(status, &body)),
        // Nobody listened, so that nothing was written.
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => (None, Told::Refused),
        Ok(Err(_)) | Err(_) => {
            wire.hang_up();
            (None, Told::Unknown(None))
        }
    };
    Answer {
        token,
        connection,
        began,
        took: began.elapsed(),
        status,
        told,
    }
}

/// A token that no other callback of this process bears.
pub fn next_token() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The `request_message` of a token. Its spaces and its way to write numbers are no accident:
/// whoever reads it and writes it anew changes it.
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

/// What the contract says that an answer means.
pub fn told(status: u16, body: &[u8]) -> Told {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = body.get("request_id").and_then(Value::as_str);
    match (status, body.get("code").and_then(Value::as_str), id) {
        (200, Some("000"), Some(id)) => Told::Accepted(id.to_owned()),
        (400..=499 | 503, Some(_), None) => Told::Refused,
        (_, _, id) => Told::Unknown(id.map(str::to_owned)),
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
                Told::Accepted("a".to_owned()),
            ),
            (200, r#"{"code":"000"}"#, Told::Unknown(None)),
            (503, r#"{"code":"500"}"#, Told::Refused),
            (
                503,
                r#"{"code":"500","request_id":"a"}"#,
                Told::Unknown(Some("a".to_owned())),
            ),
            (400, r#"{"code":"400"}"#, Told::Refused),
            (503, "a balancer's page", Told::Unknown(None)),
            (500, r#"{"code":"500"}"#, Told::Unknown(None)),
        ] {
            assert_eq!(told(status, body.as_bytes()), expected, "{status} {body}");
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
