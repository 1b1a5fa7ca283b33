//! Who goes, who waits in memory, and who is parked?

use std::collections::HashMap;
use std::time::Duration;

use super::breaker::Through;
use super::ended::Ended;
use super::gate::{Answer, Gate};
use super::seen::{Busiest, Others, Seen};
use super::{Key, Lane, Limits, Parked};

/// The gates of one process: what is known of each target and callee that was called lately.
///
/// Bounded: beyond `most_keys`, the idle ones asked longest ago are forgotten. One with calls in
/// flight is never forgotten, so that no more than the slots can be there beyond it.
#[derive(Debug)]
pub struct Gates {
    /// By place; `None` is free.
    gates: Vec<Option<Gate>>,
    free: Vec<u32>,
    places: HashMap<Key, u32>,
    lane_caps: [u32; 2],
    /// Places in the waiting room: how many there are, and how many are taken.
    room: [u32; 2],
    waiting: [u32; 2],
    most_keys: usize,
    /// Of those that were forgotten.
    forgotten: Others,
}

/// Names a gate for as long as a pass or a place of it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GateId(u32);

/// The right to make one call. Give it back by [`Gates::leave`], however the call ended.
#[derive(Debug)]
#[must_use = "a pass that is not given back holds its place for ever"]
pub struct Pass {
    gate: GateId,
    lane: Lane,
    through: Through,
}

/// A place in the waiting room. Give it back by [`Gates::again`] or [`Gates::give_up`].
#[derive(Debug)]
#[must_use = "a place that is not given back is taken for ever"]
pub struct Place {
    gate: GateId,
    lane: Lane,
    why: Parked,
    turn: Option<Duration>,
    /// Beyond the waiting room, because the target is fast.
    brief: bool,
}

/// What becomes of a message that wants to be attempted.
#[derive(Debug)]
pub enum Entry {
    /// The call may be made.
    Go(Pass),
    /// It waits in memory: see [`Place::turn`].
    Wait(Place),
    /// It is set aside, its attempt unspent.
    Park {
        /// Why.
        why: Parked,
        /// How long at least, as far as that is known.
        until: Duration,
    },
}

impl Pass {
    /// Whose it is.
    #[must_use]
    pub fn gate(&self) -> GateId {
        self.gate
    }
}

impl Place {
    /// Whose it is.
    #[must_use]
    pub fn gate(&self) -> GateId {
        self.gate
    }

    /// In which lane.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// How long to wait at most. Brief where the target is to take it within a moment: it may have
    /// stopped to answer, and then too many wait.
    #[must_use]
    pub fn patience(&self, limits: &Limits) -> Duration {
        let brief = self.brief.then_some(BRIEF);
        brief.map_or(limits.waiting, |brief| brief.min(limits.waiting))
    }

    /// Its turn by the rate: to ask again after this time. `None`: when a call has ended.
    #[must_use]
    pub fn turn(&self) -> Option<Duration> {
        self.turn
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a pass or a place that was given back must not be usable again"
)]
impl Gates {
    /// No gates yet. `lane_slots`: how many attempts each lane (first, retry) makes at a time;
    /// a tenth of them is a key's where nothing is set, and a quarter may wait in memory.
    #[must_use]
    pub fn new(lane_slots: [u32; 2], most_keys: usize) -> Self {
        Self {
            gates: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            lane_caps: lane_slots.map(|slots| (slots / 10).max(1)),
            room: lane_slots.map(|slots| (slots / 4).max(1)),
            waiting: [0; 2],
            most_keys: most_keys.max(1),
            forgotten: Others::default(),
        }
    }

    /// Decides on a message. `paused`: an operator paused the key.
    pub fn enter(
        &mut self,
        key: &Key,
        lane: Lane,
        limits: &Limits,
        paused: bool,
        now: Duration,
    ) -> Entry {
        let at = self.find(key, now);
        self.admit(at, lane, limits, paused, None, now)
    }

    /// Decides once more on a message that waits; its place is given back, or taken anew.
    pub fn again(&mut self, place: Place, limits: &Limits, paused: bool, now: Duration) -> Entry {
        self.stand_up(&place);
        self.admit(place.gate.0, place.lane, limits, paused, Some(&place), now)
    }

    /// The message has waited long enough: its place is given back, and it is to be parked.
    pub fn give_up(&mut self, place: Place) -> Parked {
        self.stand_up(&place);
        if let Some(gate) = self.gate(place.gate.0) {
            gate.park();
        }
        place.why
    }

    /// The message goes elsewhere (a stop): its place is given back, and nothing is counted.
    pub fn withdraw(&mut self, place: Place) {
        self.stand_up(&place);
    }

    /// A call has ended; true when the key's breaker opened by it.
    pub fn leave(&mut self, pass: Pass, ended: &Ended, now: Duration) -> bool {
        let Pass {
            gate,
            lane,
            through,
        } = pass;
        self.gate(gate.0)
            .is_some_and(|gate| gate.leave(lane, through, ended, now))
    }

    /// The key of a gate that is held.
    #[must_use]
    pub fn key(&self, gate: GateId) -> Option<&Key> {
        let place = usize::try_from(gate.0).ok()?;
        Some(&self.gates.get(place)?.as_ref()?.key)
    }

    /// What there is to see: the `most` keys with the most traffic, and the others together.
    #[must_use]
    pub fn seen(&self, most: usize, now: Duration) -> Busiest {
        let mut gates: Vec<&Gate> = self.gates.iter().flatten().collect();
        let traffic = |gate: &&Gate| {
            let (in_flight, parked, attempts) = gate.totals();
            std::cmp::Reverse(u64::from(in_flight) + parked + attempts.iter().sum::<u64>())
        };
        let shown = most.min(gates.len());
        if shown > 0 && shown < gates.len() {
            gates.select_nth_unstable_by_key(shown, traffic);
        }
        let rest = gates.split_off(shown);
        let mut others = self.forgotten.clone();
        others.keys = rest.len();
        for gate in rest {
            fold(&mut others, gate);
        }
        let mut keys: Vec<Seen> = gates.into_iter().map(|gate| gate.seen(now)).collect();
        keys.sort_by(|a, b| {
            b.traffic()
                .cmp(&a.traffic())
                .then_with(|| a.key.cmp(&b.key))
        });
        Busiest { keys, others }
    }

    fn admit(
        &mut self,
        at: u32,
        lane: Lane,
        limits: &Limits,
        paused: bool,
        waited: Option<&Place>,
        now: Duration,
    ) -> Entry {
        let (lane_caps, index) = (self.lane_caps, lane.index());
        let room_left = self.waiting[index] < self.room[index];
        let Some(gate) = self.gate(at) else {
            // Only a pass or a place of another `Gates` could name it.
            return Entry::Park {
                why: Parked::InFlight,
                until: Duration::ZERO,
            };
        };
        let shut = |gate: &mut Gate, why, until| {
            let until = gate.park_in_turn(why, until, limits, lane_caps, now);
            Entry::Park { why, until }
        };
        if paused {
            return shut(gate, Parked::Paused, Duration::ZERO);
        }
        let has_token = waited.is_some_and(|place| place.why == Parked::Rate);
        let first_come = waited.is_some();
        match gate.ask(lane, limits, lane_caps, has_token, first_come, now) {
            Answer::Go(through) => Entry::Go(Pass {
                gate: GateId(at),
                lane,
                through,
            }),
            Answer::Shut { why, until } => shut(gate, why, until),
            Answer::Over { why, turn } => {
                let cap = limits.in_flight.unwrap_or(lane_caps[index]).max(1);
                let soon = turn.is_none_or(|turn| turn <= limits.waiting);
                let has_room = room_left && gate.waiting(lane) < cap;
                let brief = !has_room && turn.is_none();
                let may_wait = if brief {
                    gate.waiting(lane) < gate.let_in_soon(cap, now)
                } else {
                    has_room && soon
                };
                if !may_wait || limits.waiting.is_zero() {
                    return shut(gate, why, turn.unwrap_or_default().min(MOST_UNTIL));
                }
                if turn.is_some() {
                    gate.reserve(limits, now);
                }
                gate.begin_waiting(lane);
                self.waiting[index] += u32::from(!brief);
                Entry::Wait(Place {
                    gate: GateId(at),
                    lane,
                    // A token that was taken is kept.
                    why: if has_token { Parked::Rate } else { why },
                    turn,
                    brief,
                })
            }
        }
    }

    fn stand_up(&mut self, place: &Place) {
        let taken = &mut self.waiting[place.lane.index()];
        *taken = taken.saturating_sub(u32::from(!place.brief));
        if let Some(gate) = self.gate(place.gate.0) {
            gate.end_waiting(place.lane);
        }
    }

    fn gate(&mut self, at: u32) -> Option<&mut Gate> {
        self.gates.get_mut(usize::try_from(at).ok()?)?.as_mut()
    }

    /// The place of a key's gate, made if it is not there.
    fn find(&mut self, key: &Key, now: Duration) -> u32 {
        if let Some(at) = self.places.get(key) {
            return *at;
        }
        if self.places.len() >= self.most_keys {
            self.forget(now);
        }
        let mut gate = Gate::new(key.clone());
        gate.last_asked = now;
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.gates.push(None);
                // Bounded by the keys and the slots: far below 2^32.
                u32::try_from(self.gates.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = usize::try_from(at)
            .ok()
            .and_then(|at| self.gates.get_mut(at))
        {
            *place = Some(gate);
        }
        self.places.insert(key.clone(), at);
        at
    }

    /// Forgets a tenth of the keys, so that the search for them is paid rarely: idle ones, quiet
    /// ones first, those asked longest ago first.
    fn forget(&mut self, now: Duration) {
        let idle = self.places.values().filter_map(|&at| {
            let gate = self.gates.get(usize::try_from(at).ok()?)?.as_ref()?;
            gate.is_idle()
                .then(|| ((!gate.is_quiet(now), gate.last_asked), at))
        });
        let mut idle: Vec<_> = idle.collect();
        let going = (self.most_keys / 10).max(1).min(idle.len());
        if going < idle.len() {
            idle.select_nth_unstable(going);
        }
        for (_, at) in idle.into_iter().take(going) {
            let place = usize::try_from(at)
                .ok()
                .and_then(|at| self.gates.get_mut(at));
            if let Some(gate) = place.and_then(Option::take) {
                fold(&mut self.forgotten, &gate);
                self.places.remove(&gate.key);
                self.free.push(at);
            }
        }
    }
}

/// The longest wait beyond the waiting room.
const BRIEF: Duration = Duration::from_millis(200);

/// Nothing parked for its rate waits longer than this before it is looked at again.
const MOST_UNTIL: Duration = Duration::from_secs(60);

fn fold(others: &mut Others, gate: &Gate) {
    let (in_flight, parked, attempts) = gate.totals();
    others.in_flight = others.in_flight.saturating_add(in_flight);
    others.parked = others.parked.saturating_add(parked);
    for (all, one) in others.attempts.iter_mut().zip(attempts) {
        *all = all.saturating_add(one);
    }
}

#[cfg(test)]
mod tests;
