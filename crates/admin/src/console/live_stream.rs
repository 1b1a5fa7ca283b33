//! The attempts as they end, as server-sent events: rows of the table of `live.rs`.
//!
//! Who watches is asked for: each watcher asks the processes each second, as `ringback tail` does, and
//! nobody asks while nobody watches. How many watch is bounded, and so is what one of them is sent. A
//! stream ends when its operator's session is no longer valid, with the process, or when the browser goes.
//! A sign-out takes the session from the browser alone: a stream that is still open then goes on until its
//! end, a quarter of an hour after its beginning.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpRequest, HttpResponse};
use askama::Template;
use contract::control::AttemptsAsked;
use futures_util::stream;
use runtime::clock::now_ms;
use std::net::IpAddr;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::live::{LiveFilter, LiveLine};
use super::texts::Texts;
use super::visit::Visit;
use super::{cookies, page};
use crate::api::access::OperatorAccess;
use crate::api::attempts;
use crate::api::process_view::{AttemptEndView, AttemptsView};
use crate::api::state::AdminState;
use crate::api::watched_attempts::WatchedAttempts;

/// How many may watch at a time in one process. Each asks all processes once a second, and a process
/// answers a hundred questions a second.
const MAX_WATCHERS: usize = 10;
/// How often the processes are asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How far back each time, in seconds: an answer that is late or lost is made up for by the next.
const LOOK_BACK: u64 = 5;
/// How many attempts are sent in one interval, the newest. The others are counted.
const MAX_SENT: usize = 200;
/// How long a stream lasts. The browser then opens the next one, through whatever is in front of us.
const MAX_INTERVALS: u32 = 900;
/// After so many intervals without an event a comment is sent, so that a browser that has gone is noticed.
const SILENT_INTERVALS: u32 = 10;

/// Proxies that would collect the events are told not to.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The places of those who watch, and when all streams end.
pub(crate) struct LiveWatchers {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl LiveWatchers {
    /// Streams end with `stop`.
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_WATCHERS)),
            stop,
        }
    }
}

/// Rows of the table.
#[derive(Template)]
#[template(path = "console/live_rows.html")]
struct LiveRows {
    t: &'static Texts,
    lines: Vec<LiveLine>,
}

/// What an operator should know beside the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LiveNotes {
    /// How many attempts were not sent since the stream began.
    dropped: u64,
    /// Whether a process had more than it remembers or answers.
    left_out: bool,
    warnings: Vec<String>,
}

#[derive(Template)]
#[template(path = "console/live_notes.html")]
struct LiveNotesView<'a> {
    t: &'static Texts,
    notes: &'a LiveNotes,
}

/// One who watches.
struct LiveWatcher {
    state: Data<AdminState>,
    access: Data<OperatorAccess>,
    asked: AttemptsAsked,
    headers: HeaderMap,
    peer: Option<IpAddr>,
    t: &'static Texts,
    ticks: Interval,
    seen: WatchedAttempts,
    notes: LiveNotes,
    /// Intervals since the beginning, and without an event.
    intervals: u32,
    silent: u32,
    ready: VecDeque<String>,
    has_ended: bool,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// `GET /console/live/events`
pub(super) async fn events(
    state: Data<AdminState>,
    access: Data<OperatorAccess>,
    watchers: Data<LiveWatchers>,
    http: HttpRequest,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let asked = match LiveFilter::of(http.query_string()).asked(LOOK_BACK) {
        Ok(asked) => asked,
        Err(problem) => return page::error(&visit, &problem),
    };
    let t = visit.texts();
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header((X_ACCEL_BUFFERING, "no"));
    let Ok(place) = Arc::clone(&watchers.places).try_acquire_owned() else {
        // Not a 503: a browser hides its text, and tries again and again.
        return response.body(event("end", t.live_full));
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = LiveWatcher {
        state,
        access,
        asked,
        headers: http.headers().clone(),
        peer: visit.peer,
        t,
        ticks,
        seen: WatchedAttempts::with_earlier(),
        notes: LiveNotes::default(),
        intervals: 0,
        silent: 0,
        ready: VecDeque::new(),
        has_ended: false,
        stop: watchers.stop.clone(),
        _place: place,
    };
    response.streaming(stream::unfold(watcher, |mut watcher| async {
        let next = watcher.next().await?;
        Some((Ok::<_, Error>(Bytes::from(next)), watcher))
    }))
}

impl LiveWatcher {
    /// The next piece of the stream. `None`: it has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.has_ended || self.intervals == MAX_INTERVALS {
                return None;
            }
            self.intervals += 1;
            let stop = self.stop.clone();
            stop.run_until_cancelled(self.ticks.tick()).await?;
            if !self.may_watch() {
                self.has_ended = true;
                return Some(event("end", self.t.live_session_ended));
            }
            let view = attempts::page(&self.state, self.asked.clone()).await;
            self.take(view);
        }
    }

    /// Whether the operator's session is still valid.
    fn may_watch(&self) -> bool {
        let session = cookies::session(&self.headers);
        let operator = self.access.operator(&self.headers, session, self.peer);
        matches!(operator, Ok(Some(_)))
    }

    /// Makes events of an answer.
    fn take(&mut self, view: AttemptsView) {
        let mut notes = LiveNotes {
            left_out: self.seen.may_miss_some(&view),
            warnings: self.t.say_all(&view.seen.warnings),
            dropped: self.notes.dropped,
        };
        let (newest, dropped) = newest_first(self.seen.new_ones(view.seen.page.items));
        notes.dropped = notes.dropped.saturating_add(dropped);
        if !newest.is_empty() {
            let now = now_ms();
            let lines = newest
                .into_iter()
                .map(|view| LiveLine::of(view, now, self.t));
            self.push(
                "attempts",
                &LiveRows {
                    t: self.t,
                    lines: lines.collect(),
                },
            );
        }
        if notes != self.notes {
            self.push(
                "notes",
                &LiveNotesView {
                    t: self.t,
                    notes: &notes,
                },
            );
            self.notes = notes;
        }
        match self.ready.is_empty() {
            false => self.silent = 0,
            true => self.silent += 1,
        }
        if self.silent == SILENT_INTERVALS {
            self.silent = 0;
            self.ready.push_back(":\n\n".to_owned());
        }
    }

    fn push(&mut self, name: &str, part: &impl Template) {
        match part.render() {
            Ok(html) => self.ready.push_back(event(name, &html)),
            Err(error) => tracing::error!(%error, "a part of the console cannot be rendered"),
        }
    }
}

/// The newest attempts that are sent, the newest first, and how many are not.
fn newest_first(mut attempts: Vec<AttemptEndView>) -> (Vec<AttemptEndView>, u64) {
    let dropped = attempts.len().saturating_sub(MAX_SENT);
    attempts.drain(..dropped);
    attempts.reverse();
    (attempts, dropped as u64)
}

/// An event of the stream.
fn event(name: &str, data: &str) -> String {
    let lines = data.lines().map(|line| format!("data: {line}\n"));
    format!("event: {name}\n{}\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn attempt(sequence: u64) -> AttemptEndView {
        AttemptEndView {
            ended_at: sequence,
            request_id: Uuid::nil(),
            app_id: "crm".to_owned(),
            callee_no: None,
            target: "https://h.example:443".to_owned(),
            message_type: "order".to_owned(),
            attempt: 1,
            outcome: "delivered".to_owned(),
            http_status: Some(200),
            cause: None,
            duration_ms: 1,
            verdict: "delivered".to_owned(),
            next_attempt_at: None,
            process: "dispatcher h:7".to_owned(),
            instance: Uuid::nil(),
            sequence,
        }
    }

    #[test]
    fn two_hundred_attempts_are_sent_at_a_time_and_the_others_are_counted() {
        let (sent, dropped) = newest_first((1..=203).map(attempt).collect());
        let ends = (sent[0].sequence, sent[199].sequence);
        assert_eq!((sent.len(), ends, dropped), (MAX_SENT, (203, 4), 3));
        let (sent, dropped) = newest_first((1..=200).map(attempt).collect());
        assert_eq!((sent.len(), dropped), (200, 0));
    }

    #[test]
    fn no_text_can_begin_another_event() {
        assert_eq!(
            event("notes", "a\nevent: end\n\ndata: b"),
            "event: notes\ndata: a\ndata: event: end\ndata: \ndata: data: b\n\n"
        );
    }
}
