//! Who may call its target now, who waits for its place in memory, and who is parked?
//!
//! The rules are `delivery::limits`'; here are the clock, the lock and the waiting. The lock is held
//! for moments and never across an await.

mod room;

use crate::board::Board;
use crate::pauses::Pauses;
use boot::metrics::TargetFigures;
use delivery::limits::{
    self, Busiest, Ended, Entry, GateId, Key, Lane, Limits, Parked, Pass, Place,
};
use room::{Room, Waiter};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// So many keys have a gate; idle ones make room. About a kilobyte each.
const MOST_KEYS: usize = 10_000;

/// The gates of all targets and callees.
pub(crate) struct Gates {
    begun: Instant,
    pauses: Pauses,
    state: Mutex<State>,
}

struct State {
    gates: limits::Gates,
    /// Who waits, by lane, in order of arrival.
    rooms: HashMap<GateId, Room>,
    next_number: u64,
    board: Board,
}

/// What the gate says.
pub(crate) enum Asked {
    /// Now, or not now.
    Now(Entered),
    /// In a moment, perhaps.
    Wait(Waiting),
}

/// What the gate says in the end.
pub(crate) enum Entered {
    /// The call may be made.
    Go(Held),
    /// Not now, and not soon.
    Park {
        why: Parked,
        /// How long at least, as far as that is known.
        until: Duration,
    },
}

/// A pass. One that is not given back on purpose (a panic, an attempt that is cut off) is given back
/// when it is dropped, and says nothing of the target.
pub(crate) struct Held {
    pass: Option<Pass>,
    gates: Arc<Gates>,
}

/// A place in the waiting room, left when dropped.
pub(crate) struct Waiting {
    gate: GateId,
    number: u64,
    turn: Option<Duration>,
    /// When the wait is over, since [`Gates::begun`].
    over: Duration,
    called: oneshot::Receiver<Entered>,
    gates: Arc<Gates>,
}

impl Gates {
    /// Gates for lanes of so many slots, first attempts' and retries'.
    pub(crate) fn new(slots: [u16; 2], pauses: Pauses) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            pauses,
            state: Mutex::new(State {
                gates: limits::Gates::new(slots.map(u32::from), MOST_KEYS),
                rooms: HashMap::new(),
                next_number: 0,
                board: Board::default(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock; if it did, a gate would be off by one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Asks for a pass.
    pub(crate) fn ask(
        self: &Arc<Self>,
        key: &Key,
        lane: Lane,
        limits: &Limits,
        paused: bool,
    ) -> Asked {
        let paused = paused || self.pauses.holds(key);
        let (mut state, now) = (self.state(), self.now());
        match state.gates.enter(key, lane, limits, paused, now) {
            Entry::Go(pass) => Asked::Now(Entered::Go(self.held(pass))),
            Entry::Park { why, until } => {
                state.board.parked(key);
                Asked::Now(Entered::Park { why, until })
            }
            Entry::Wait(place) => Asked::Wait(self.wait(&mut state, place, limits, now)),
        }
    }

    fn wait(
        self: &Arc<Self>,
        state: &mut State,
        place: Place,
        limits: &Limits,
        now: Duration,
    ) -> Waiting {
        let (called, hears) = oneshot::channel();
        let (gate, number) = (place.gate(), state.next_number);
        state.next_number += 1;
        let turn = place.turn().map(|turn| now.saturating_add(turn));
        let (over, at) = (place.patience(limits), room::at(place.lane()));
        state.rooms.entry(gate).or_default()[at].push_back(Waiter {
            number,
            place,
            limits: *limits,
            turn: turn.unwrap_or_default(),
            called,
        });
        Waiting {
            gate,
            number,
            turn,
            over: now.saturating_add(over),
            called: hears,
            gates: Arc::clone(self),
        }
    }

    fn held(self: &Arc<Self>, pass: Pass) -> Held {
        Held {
            pass: Some(pass),
            gates: Arc::clone(self),
        }
    }

    /// Takes a pass back, and calls who waits for it.
    fn leave(self: &Arc<Self>, pass: Pass, ended: &Ended) {
        let (mut state, now) = (self.state(), self.now());
        let gate = pass.gate();
        let opened = state.leave(pass, ended, now);
        self.call(gate, &mut state, now);
        let target = opened.then(|| state.gates.key(gate).map(ToString::to_string));
        drop(state);
        if let Some(Some(target)) = target {
            tracing::warn!(
                callback_target = target,
                "the breaker is open: what comes for this target is parked"
            );
        }
    }

    /// Calls those who wait at a gate, as far as they may go (or must) now.
    fn call(self: &Arc<Self>, gate: GateId, state: &mut State, now: Duration) {
        let Some(mut room) = state.rooms.remove(&gate) else {
            return;
        };
        let mut later = [VecDeque::new(), VecDeque::new()];
        // Once one must wait for a place, so must those behind it in its lane: they are not touched.
        let key = state.gates.key(gate);
        let paused = key.is_some_and(|key| self.pauses.holds(key));
        let mut full = [false; 2];
        while let Some((at, waiter)) = room::next(&mut room, full) {
            if waiter.turn > now {
                later[at].push_back(waiter);
                continue;
            }
            let (limits, called) = (waiter.limits, waiter.called);
            let told = match state.gates.again(waiter.place, &limits, paused, now) {
                Entry::Wait(place) => {
                    let turn = place.turn();
                    full[at] = turn.is_none();
                    let waiter = Waiter {
                        turn: now.saturating_add(turn.unwrap_or_default()),
                        number: waiter.number,
                        place,
                        limits,
                        called,
                    };
                    if turn.is_none() {
                        room[at].push_front(waiter);
                    } else {
                        later[at].push_back(waiter);
                    }
                    continue;
                }
                Entry::Go(pass) => Entered::Go(self.held(pass)),
                Entry::Park { why, until } => {
                    state.parked(gate);
                    Entered::Park { why, until }
                }
            };
            // Who has left takes no pass along.
            if let Err(Entered::Go(mut unused)) = called.send(told)
                && let Some(pass) = unused.pass.take()
            {
                state.leave(pass, &Ended::unsaid(), now);
                full = [false; 2];
            }
        }
        for (lane, later) in room.iter_mut().zip(later) {
            for waiter in later.into_iter().rev() {
                lane.push_front(waiter);
            }
        }
        if !room::is_empty(&room) {
            state.rooms.insert(gate, room);
        }
    }

    /// What is known of the busiest keys, and of the others together.
    pub(crate) fn seen(&self, most: usize) -> Busiest {
        self.state().gates.seen(most, self.now())
    }

    /// Who is left alone.
    pub(crate) fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// The figures to show now.
    pub(crate) fn figures(&self) -> Vec<TargetFigures> {
        let (mut state, now) = (self.state(), self.now());
        let busiest = state.gates.seen(Board::MOST, now);
        state.board.figures(&busiest, &self.pauses)
    }
}

impl State {
    fn leave(&mut self, pass: Pass, ended: &Ended, now: Duration) -> bool {
        if let Some(key) = self.gates.key(pass.gate()) {
            self.board.ended(key, ended.end);
        }
        self.gates.leave(pass, ended, now)
    }

    fn parked(&mut self, gate: GateId) {
        if let Some(key) = self.gates.key(gate) {
            self.board.parked(key);
        }
    }

    /// Takes somebody out of the room who waits there still.
    fn take_out(&mut self, gate: GateId, number: u64) -> Option<Place> {
        let room = self.rooms.get_mut(&gate)?;
        let waiter = room::take_out(room, number)?;
        if room::is_empty(room) {
            self.rooms.remove(&gate);
        }
        Some(waiter.place)
    }
}

/// What is never so: neither in the room nor called.
const NOT_CALLED: Entered = Entered::Park {
    why: Parked::InFlight,
    until: Duration::ZERO,
};

impl Waiting {
    /// Waits until it is called, or for so long that it is parked.
    pub(crate) async fn called(mut self) -> Entered {
        loop {
            // A place that frees calls; only a turn that comes with time does not.
            let look_at = self.turn.take().unwrap_or(self.over).min(self.over);
            let look = tokio::time::sleep(look_at.saturating_sub(self.gates.now()));
            tokio::select! {
                biased;
                told = &mut self.called => return told.unwrap_or(NOT_CALLED),
                () = look => {}
            }
            if let Some(told) = self.look() {
                return told;
            }
        }
    }

    fn look(&mut self) -> Option<Entered> {
        let (mut state, now) = (self.gates.state(), self.gates.now());
        self.gates.call(self.gate, &mut state, now);
        if let Ok(told) = self.called.try_recv() {
            return Some(told);
        }
        if now < self.over {
            return None;
        }
        let Some(place) = state.take_out(self.gate, self.number) else {
            return Some(NOT_CALLED);
        };
        state.parked(self.gate);
        Some(Entered::Park {
            why: state.gates.give_up(place),
            until: Duration::ZERO,
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.gates.state();
        if let Some(place) = state.take_out(self.gate, self.number) {
            state.gates.withdraw(place);
        }
        // A pass that it was called with and did not take goes back with the channel.
    }
}

impl Held {
    /// The call has ended so.
    pub(crate) fn leave(mut self, ended: &Ended) {
        if let Some(pass) = self.pass.take() {
            self.gates.leave(pass, ended);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.gates.leave(pass, &Ended::unsaid());
        }
    }
}

#[cfg(test)]
mod tests;
