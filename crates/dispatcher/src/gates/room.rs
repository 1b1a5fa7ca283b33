//! Who waits at one gate, and who comes next?

use super::Entered;
use delivery::limits::{Lane, Limits, Place};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::oneshot;

/// By lane, in order of arrival: the numbers grow.
pub(super) type Room = [VecDeque<Waiter>; 2];

pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) limits: Limits,
    /// Not before, since [`Gates::begun`].
    pub(super) turn: Duration,
    pub(super) called: oneshot::Sender<Entered>,
}

pub(super) fn at(lane: Lane) -> usize {
    usize::from(lane == Lane::Retry)
}

/// Takes out who came first, of the lanes that are not full.
pub(super) fn next(room: &mut Room, full: [bool; 2]) -> Option<(usize, Waiter)> {
    let first = |at: usize| room[at].front().filter(|_| !full[at]).map(|it| it.number);
    let at = match (first(0), first(1)) {
        (Some(one), Some(other)) => usize::from(other < one),
        (Some(_), None) => 0,
        (None, Some(_)) => 1,
        (None, None) => return None,
    };
    room[at].pop_front().map(|waiter| (at, waiter))
}

/// Takes out somebody who waits there still.
pub(super) fn take_out(room: &mut Room, number: u64) -> Option<Waiter> {
    room.iter_mut().find_map(|lane| {
        let at = lane.binary_search_by_key(&number, |it| it.number).ok()?;
        lane.remove(at)
    })
}

pub(super) fn is_empty(room: &Room) -> bool {
    room.iter().all(VecDeque::is_empty)
}
