//! How is a callback taken in?
//!
//! The main path of the door in: authenticate -> parse -> admit -> queue -> answer.

use crate::callers::{Caller, authenticate};
use crate::claim::Key;
use crate::queue::{Taken, Wish, queue, queue_once};
use crate::reply::Turned;
use crate::server::Door;
use crate::watching::Goal;
use crate::wishes::{self, Wait};
use crate::{admit, compose, query, reply};
use actix_web::{HttpRequest, HttpResponse, web};
use contract::{Answer, Language, Request};
use journal::Journal;
use tokio::time::Instant;
use uuid::Uuid;

/// `POST /api/callback`.
pub(crate) async fn accept(
    door: web::Data<Door>,
    http: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let language = reply::language(&http);
    let wait = Wait::read(
        http.headers(),
        door.default_wait,
        door.max_wait,
        Instant::now(),
    );
    // Boxed: whoever waits for the first attempt does not carry the room for the way there.
    match Box::pin(take_in(&door, &http, payload, wait.until())).await {
        Ok((taken, _caller)) => {
            // Its caller is in hand until the answer is there.
            let request_id = Some(taken.request_id);
            let answer = outcome(&door, taken, wait.until()).await;
            let mut response = door.reply(&answer, request_id, language);
            reply::say_applied(&mut response, &wait);
            response
        }
        Err(turned) => refuse(&door, &turned, language),
    }
}

/// Either the callback is durable under the id returned, or the caller is turned away with the
/// reason.
async fn take_in(
    door: &web::Data<Door>,
    http: &HttpRequest,
    payload: web::Payload,
    until: Option<Instant>,
) -> Result<(Taken, Caller), Turned> {
    let (caller, body) = authenticate(door, http, payload).await?;
    let key = idempotency_key(door, http)?;
    let request = Request::parse(&body, &door.rules)?;
    let caller = caller.speaks_for(door, &request.app_id)?;
    let admitted = admit::admit(request, &door.parties.get(), &door.guards.get())?;
    let key = key.map(|(key, journal)| (Key::new(&admitted.request.app_id, key, &body), journal));
    let wish = Wish {
        admitted,
        traceparent: compose::traceparent(http.headers()),
        until,
    };
    let taken = match key {
        None => queue(door, wish, Uuid::now_v7(), None).await,
        Some((key, journal)) => queue_once(door.clone(), wish, key, journal).await,
    };
    Ok((taken?, caller))
}

/// The key with the journal that keeps it. Without one the key would be a promise broken in silence.
fn idempotency_key(door: &Door, http: &HttpRequest) -> Result<Option<(String, Journal)>, Turned> {
    if !http.headers().contains_key(wishes::IDEMPOTENCY_KEY) {
        return Ok(None);
    }
    let records = door.records.as_ref().ok_or(Answer::NoJournal)?;
    let key = wishes::idempotency_key(http.headers())?;
    Ok(key.map(|key| (key, records.journal.clone())))
}

/// What the caller hears: at once that the callback is queued, or, where it waits, how the first
/// attempt ended.
async fn outcome(door: &Door, taken: Taken, until: Option<Instant>) -> Answer {
    let Some(until) = until else {
        return Answer::Accepted;
    };
    match (taken.waiter, &door.records) {
        (Some(waiter), _) => {
            let told = waiter.outcome(until, &door.stop).await;
            told.map_or(Answer::Retrying, Answer::from)
        }
        (None, Some(records)) => {
            let status = records
                .watching
                .status(taken.request_id, Goal::Tried, until, &door.stop);
            Box::pin(status)
                .await
                .map_or(Answer::Retrying, query::answer)
        }
        (None, None) => Answer::Retrying,
    }
}

fn refuse(door: &Door, turned: &Turned, language: Language) -> HttpResponse {
    let Turned { answer, request_id } = turned;
    door.metrics.refused(answer.code());
    let msg = answer.msg(Language::English);
    tracing::debug!(http_status = answer.http_status(), %msg, "callback refused");
    door.reply(answer, *request_id, language)
}
