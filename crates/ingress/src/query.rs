//! What became of a callback, and can it still be withdrawn?

use crate::callers::{Caller, authenticate_question};
use crate::freshness::{Freshness, View, is_unknown};
use crate::moment::{millis, unix_ms};
use crate::reply::{self, Turned};
use crate::server::Door;
use crate::waiting::until_end;
use crate::watching::{Goal, Watching};
use crate::wishes::Wait;
use actix_web::{HttpRequest, HttpResponse, web};
use broker::Broker;
use contract::{Answer, Report, ReportAttempt};
use journal::{Attempt, Callback, Cancelled, Journal, JournalError, Recorder, Status};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use uuid::Uuid;

/// A callback whose next attempt is nearer than this may be in a dispatcher's hands already.
const MARGIN: Duration = Duration::from_secs(2);
/// From the confirm of a publish to the handing over of its record.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(2);

/// The journal, and what is needed to ask it well.
pub(crate) struct Records {
    pub(crate) journal: Journal,
    pub(crate) watching: Watching,
    freshness: Freshness,
}

impl Records {
    /// Runs within a tokio runtime.
    pub(crate) fn start(journal: Journal, broker: &Broker) -> Self {
        Self {
            watching: Watching::start(journal.clone()),
            freshness: Freshness::start(journal.clone(), broker.depths()),
            journal,
        }
    }
}

/// `GET /api/callback/{request_id}`.
pub(crate) async fn query(
    door: web::Data<Door>,
    http: HttpRequest,
    request_id: web::Path<String>,
) -> HttpResponse {
    let wait = Wait::read(
        http.headers(),
        Duration::ZERO,
        door.max_wait,
        Instant::now(),
    );
    match find(&door, &http, &request_id, wait.until()).await {
        Ok(callback) => {
            let mut response = report(&http, &callback);
            reply::say_applied(&mut response, &wait);
            response
        }
        Err(turned) => turn_away(&door, &http, &turned),
    }
}

/// `DELETE /api/callback/{request_id}`.
pub(crate) async fn withdraw(
    door: web::Data<Door>,
    http: HttpRequest,
    request_id: web::Path<String>,
) -> HttpResponse {
    match cancel(&door, &http, &request_id).await {
        Ok(Withdrawal::Ended(callback)) => report(&http, &callback),
        Ok(Withdrawal::Noted(request_id)) => {
            let language = reply::language(&http);
            door.reply(&Answer::Retrying, Some(request_id), language)
        }
        Err(turned) => turn_away(&door, &http, &turned),
    }
}

/// What came of a wish to withdraw a callback.
enum Withdrawal {
    /// It has ended, by this or before.
    Ended(Box<Callback>),
    /// It may be on its way; if it comes back to wait, it ends there.
    Noted(Uuid),
}

async fn cancel(door: &Door, http: &HttpRequest, request_id: &str) -> Result<Withdrawal, Turned> {
    let caller = authenticate_question(door, http)?;
    let (records, request_id) = asked_for(door, request_id)?;
    // Before the question: what comes into the journal meanwhile is not denied.
    let view = view(door, records);
    let cancelled = records
        .journal
        .cancel(request_id, caller.app_id(), view.now, MARGIN);
    match cancelled.await.map_err(out_of_reach(request_id))? {
        Cancelled::Perhaps => Ok(Withdrawal::Noted(request_id)),
        Cancelled::Unknown => Err(absent(request_id, &view)),
        Cancelled::Certainly | Cancelled::Ended(_) => {
            match look(door, records, &caller, request_id).await? {
                Some(callback) => Ok(Withdrawal::Ended(Box::new(callback))),
                None => Err(not_yet(request_id)),
            }
        }
    }
}

/// The callback, held back until its status is final or `until` has come.
async fn find(
    door: &Door,
    http: &HttpRequest,
    request_id: &str,
    until: Option<Instant>,
) -> Result<Callback, Turned> {
    let caller = authenticate_question(door, http)?;
    let (records, request_id) = asked_for(door, request_id)?;
    let found = look(door, records, &caller, request_id).await?;
    let ended = |it: &Option<Callback>| it.as_ref().is_some_and(|it| it.status.is_final());
    let Some(until) = until.filter(|_| !ended(&found)) else {
        return found.ok_or_else(|| not_yet(request_id));
    };
    let news = records
        .watching
        .status(request_id, Goal::Final, until, &door.stop);
    if news.await.is_some() {
        if let Ok(Some(callback)) = look(door, records, &caller, request_id).await {
            return Ok(callback);
        }
        // The news was of another app's callback, and an answer now would say that there is one.
        until_end(until, &door.stop).await;
    }
    let found = look(door, records, &caller, request_id).await?;
    found.ok_or_else(|| not_yet(request_id))
}

/// The callback; `None` for one that may be on its way into the journal.
async fn look(
    door: &Door,
    records: &Records,
    caller: &Caller,
    request_id: Uuid,
) -> Result<Option<Callback>, Turned> {
    // Before the question: what comes into the journal meanwhile is not denied.
    let view = view(door, records);
    let found = records.journal.find(request_id).await;
    let found = found.map_err(out_of_reach(request_id))?;
    // Another app's callback is none, in every way.
    let own = |it: &Callback| caller.app_id().is_none_or(|own| own == it.origin.app_id);
    match found.filter(own) {
        None if is_unknown(request_id, &view) => Err(Answer::NotFound.into()),
        found => Ok(found),
    }
}

fn asked_for<'a>(door: &'a Door, request_id: &str) -> Result<(&'a Records, Uuid), Turned> {
    // First: who asks for a callback that it holds an id of is not told that there is none.
    let records = door.records.as_ref().ok_or(Answer::NoJournal)?;
    let request_id = Uuid::try_parse(request_id).map_err(|_| Answer::NotFound)?;
    Ok((records, request_id))
}

fn view(door: &Door, records: &Records) -> View {
    let now = unix_ms(SystemTime::now());
    let oldest = door.recorder.as_ref().and_then(Recorder::oldest_waiting);
    View {
        now,
        complete_until: records.freshness.complete_until(),
        held_since: oldest.map(|since| now.saturating_sub(millis(since.elapsed()))),
        margin: millis(door.publish_timeout + HANDED_OVER_WITHIN),
    }
}

fn absent(request_id: Uuid, view: &View) -> Turned {
    if is_unknown(request_id, view) {
        Answer::NotFound.into()
    } else {
        not_yet(request_id)
    }
}

/// With the id: a 503 without one would say that nothing was ever queued.
const fn not_yet(request_id: Uuid) -> Turned {
    Turned {
        answer: Answer::Unavailable,
        request_id: Some(request_id),
    }
}

fn out_of_reach(request_id: Uuid) -> impl Fn(JournalError) -> Turned {
    move |error| {
        tracing::warn!(%request_id, %error, "the journal cannot be asked");
        not_yet(request_id)
    }
}

fn report(http: &HttpRequest, callback: &Callback) -> HttpResponse {
    let now = unix_ms(SystemTime::now());
    let body = told(callback, now).body(reply::language(http));
    // Whatever its code: the callback is known.
    reply::json(200, body)
}

fn turn_away(door: &Door, http: &HttpRequest, turned: &Turned) -> HttpResponse {
    let Turned { answer, request_id } = turned;
    door.metrics.refused(answer.code());
    door.reply(answer, *request_id, reply::language(http))
}

/// The code that a status stands for.
pub(crate) const fn answer(status: Status) -> Answer {
    match status {
        Status::Delivered => Answer::Accepted,
        Status::Queued | Status::Delivering | Status::Retrying => Answer::Retrying,
        Status::Dead | Status::Expired | Status::Cancelled => Answer::GivenUp,
    }
}

/// A callback as its caller hears of it at `now`, Unix ms.
fn told(callback: &Callback, now: u64) -> Report {
    let origin = &callback.origin;
    let open = !callback.status.is_final();
    Report {
        request_id: origin.request_id,
        status: callback.status_at(now).as_str().to_owned(),
        reason: callback.reason.clone(),
        created_at: origin.accepted_at,
        next_attempt_at: callback.next_attempt_at.filter(|_| open),
        app_id: origin.app_id.clone(),
        caller_no: origin.caller_no.clone(),
        callee_no: origin.callee_no.clone(),
        callback_url: origin.callback_url.clone(),
        message_type: origin.message_type.clone(),
        attempts: callback.attempts.iter().map(attempt).collect(),
    }
}

fn attempt(made: &Attempt) -> ReportAttempt {
    ReportAttempt {
        number: made.number,
        started_at: made.started_at,
        duration_ms: made.duration_ms,
        outcome: made.outcome.clone(),
        http_status: made.http_status,
        detail: made.detail.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::Origin;

    fn callback(status: Status) -> Callback {
        Callback {
            origin: Origin {
                request_id: Uuid::now_v7(),
                app_id: "a".to_owned(),
                caller_no: None,
                callee_no: Some("EO001".to_owned()),
                message_type: "m".to_owned(),
                callback_url: None,
                target: "https://x.cn:443".to_owned(),
                accepted_at: 1_000,
            },
            generation: 0,
            status,
            reason: None,
            waiting_for: None,
            next_attempt_at: Some(5_000),
            cancel_requested: false,
            discarded: false,
            updated_at: 2_000,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn the_report_and_the_waiting_answer_agree_on_every_status() {
        for status in Status::ALL {
            let report = told(&callback(status), 4_000);
            assert_eq!(report.status, status.as_str());
            assert_eq!(report.answer(), answer(status), "{status}");
        }
    }

    #[test]
    fn only_a_callback_that_goes_on_has_a_next_attempt() {
        for status in Status::ALL {
            let report = told(&callback(status), 4_000);
            let expected = (!status.is_final()).then_some(5_000);
            assert_eq!(report.next_attempt_at, expected, "{status}");
        }
        assert_eq!(told(&callback(Status::Queued), 5_000).status, "delivering");
        assert_eq!(told(&callback(Status::Dead), 5_000).status, "dead");
    }
}
