//! Whether the node at the other end still answers. Pure: called once a tick.
//!
//! Judged by the bytes that are read, whatever they are. A question that only the node itself answers,
//! without any queue, is answered at once, and tells it apart from a silent queue. A node that reads
//! nothing from us at present (flow control) is still heard by its heartbeats.

use std::time::Duration;

/// How often [`Liveness::tick`] is called.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// After so many ticks without a word the node is asked: 1.5 s.
const ASK_AFTER: u32 = 3;
/// After so many it is in doubt: 2 s. New work goes elsewhere if it can.
const DOUBTFUL_AFTER: u32 = 4;
/// After so many it is silent: 5 s. Ticks and not time, so that a stall of this process is not
/// taken for one of the node.
const SILENT_AFTER: u32 = 10;

/// What follows from a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    /// Ask the node, unless a question is still open.
    Ask,
    /// It does not answer.
    Silent,
}

/// How long one connection has been silent.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    quiet: u32,
}

impl Liveness {
    /// Whether the node owes an answer for longer than it should.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.quiet >= DOUBTFUL_AFTER
    }

    /// Notes a tick. `heard`: something has arrived since the last one. `blocked`: the broker has
    /// stopped reading, so that no question would reach it.
    pub(super) fn tick(&mut self, heard: bool, blocked: bool) -> Next {
        if heard || blocked {
            self.quiet = 0;
            return Next::Wait;
        }
        self.quiet += 1;
        if self.quiet >= SILENT_AFTER {
            Next::Silent
        } else if self.quiet >= ASK_AFTER {
            Next::Ask
        } else {
            Next::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_before_it_counts_as_silent() {
        let mut liveness = Liveness::default();
        let next: Vec<Next> = (0..10).map(|_| liveness.tick(false, false)).collect();
        assert_eq!(next[..2], [Next::Wait; 2]);
        assert_eq!(next[2..9], [Next::Ask; 7]);
        assert_eq!(next[9], Next::Silent);
    }

    #[test]
    fn a_node_that_owes_an_answer_is_in_doubt_until_it_is_heard() {
        let mut liveness = Liveness::default();
        let doubts = [false, false, false, false, true].map(|heard| {
            liveness.tick(heard, false);
            liveness.is_doubtful()
        });
        assert_eq!(doubts, [false, false, false, true, false]);
    }

    #[test]
    fn any_word_and_any_alarm_begin_anew() {
        for (heard, blocked) in [(true, false), (false, true)] {
            let mut liveness = Liveness::default();
            for _ in 0..9 {
                liveness.tick(false, false);
            }
            assert_eq!(liveness.tick(heard, blocked), Next::Wait);
            assert_eq!(liveness.tick(false, false), Next::Wait);
        }
    }
}
