//! Which callbacks this process holds in memory: taken from the broker, and not settled yet.

use contract::Message;
use contract::control::HeldCallback;
use runtime::clock::now_ms;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Bounded by what the consumers prefetch. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HeldCallbacks(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    /// By the order of their arrival: a stale copy has the same id.
    by_number: HashMap<u64, Entry>,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    request_id: Uuid,
    since: u64,
    queue: &'static str,
    attempt: u32,
    in_flight: bool,
}

/// A callback that is held until this is dropped, even in a panic.
pub(crate) struct HeldGuard {
    number: u64,
    held: HeldCallbacks,
}

impl HeldCallbacks {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nothing panics under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, message: &Message, queue: &'static str) -> HeldGuard {
        let entry = Entry {
            request_id: message.request_id,
            since: now_ms(),
            queue,
            attempt: message.attempt,
            in_flight: false,
        };
        let mut entries = self.entries();
        entries.last += 1;
        let number = entries.last;
        entries.by_number.insert(number, entry);
        drop(entries);
        HeldGuard {
            number,
            held: self.clone(),
        }
    }

    /// The callback, if it is held. Of several copies, the one whose call is being made.
    pub fn find(&self, request_id: Uuid) -> Option<HeldCallback> {
        let entries = self.entries();
        let copies = entries.by_number.values();
        let copies = copies.filter(|entry| entry.request_id == request_id);
        let found = copies.max_by_key(|entry| (entry.in_flight, entry.since))?;
        Some(HeldCallback {
            since: found.since,
            queue: found.queue.to_owned(),
            attempt: found.attempt,
            in_flight: found.in_flight,
        })
    }
}

impl HeldCallbacks {
    /// How many calls are being made.
    pub(crate) fn in_flight(&self) -> usize {
        let entries = self.entries();
        let calls = entries.by_number.values().filter(|it| it.in_flight);
        calls.count()
    }
}

impl HeldGuard {
    /// Its call begins, or has ended.
    pub(crate) fn set_in_flight(&self, in_flight: bool) {
        if let Some(entry) = self.held.entries().by_number.get_mut(&self.number) {
            entry.in_flight = in_flight;
        }
    }
}

impl Drop for HeldGuard {
    fn drop(&mut self) {
        self.held.entries().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message() -> Message {
        Message {
            request_id: Uuid::now_v7(),
            app_id: "app".to_owned(),
            caller_no: None,
            callee_no: None,
            message_type: "m".to_owned(),
            callback_url: Some("https://h.example/".to_owned()),
            options: contract::Options::default(),
            accepted_at: 0,
            generation: 0,
            hold: 0,
            attempt: 3,
            deferrals: 0,
            not_before: None,
            scheduled_at: None,
            traceparent: None,
            tracestate: None,
            reply_to: None,
            history: Vec::new(),
            unknown: contract::UnknownFields::default(),
            request_message: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn a_callback_is_held_from_its_arrival_until_it_is_settled() {
        let (held, message) = (HeldCallbacks::default(), message());
        let id = message.request_id;
        assert_eq!(held.find(id), None);
        let guard = held.begin(&message, "retry");
        let found = held.find(id).unwrap();
        assert_eq!(
            (&*found.queue, found.attempt, found.in_flight),
            ("retry", 3, false)
        );
        guard.set_in_flight(true);
        // A stale copy arrives, and ends.
        let copy = held.begin(&message, "first");
        assert!(held.find(id).unwrap().in_flight);
        drop(copy);
        assert!(held.find(id).unwrap().in_flight);
        drop(guard);
        assert_eq!(held.find(id), None);
    }
}
