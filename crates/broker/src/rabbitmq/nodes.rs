//! Which nodes a new connection had better avoid. Pure: the time is an argument.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A node that was silent is tried last for this long: RabbitMQ needs up to 75 s to notice it.
const AVOID_FOR: Duration = Duration::from_secs(75);

/// What the connections of one broker know about its nodes, by their positions.
#[derive(Debug, Default)]
pub(super) struct Nodes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    silent_at: BTreeMap<usize, Instant>,
    /// The node to which each publishing connection goes, by the connection's position.
    publishing: BTreeMap<usize, usize>,
}

/// Why a node is avoided; the least is chosen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Avoid {
    No,
    /// Another publishing connection goes there.
    Taken,
    /// It did not answer a short time ago.
    Silent,
}

impl Nodes {
    /// Notes that a node did not answer.
    pub(super) fn silent(&self, node: usize, now: Instant) {
        self.known(|known| known.silent_at.insert(node, now));
    }

    /// Notes that a node answers.
    pub(super) fn answered(&self, node: usize) {
        self.known(|known| known.silent_at.remove(&node));
    }

    /// Chooses among nodes, by their order in the list where they are equally good: its position. A
    /// publishing connection, known by its position, takes the node until the next choice.
    pub(super) fn choose(
        &self,
        nodes: impl Iterator<Item = usize>,
        connection: Option<usize>,
        now: Instant,
    ) -> Option<usize> {
        self.known(|known| {
            let rated = nodes
                .enumerate()
                .min_by_key(|(_, node)| known.avoid(*node, connection, now));
            let (position, node) = rated?;
            if let Some(connection) = connection {
                known.publishing.insert(connection, node);
            }
            Some(position)
        })
    }

    fn known<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn avoid(&self, node: usize, connection: Option<usize>, now: Instant) -> Avoid {
        let silent_at = self.silent_at.get(&node);
        if silent_at.is_some_and(|at| now.duration_since(*at) < AVOID_FOR) {
            return Avoid::Silent;
        }
        let mut others = self.publishing.iter();
        match connection {
            Some(own) if others.any(|(other, at)| *other != own && *at == node) => Avoid::Taken,
            _ => Avoid::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_node_is_avoided_for_a_while_or_until_it_answers() {
        let (nodes, now) = (Nodes::default(), Instant::now());
        nodes.silent(1, now);
        let first = |now| nodes.choose([1, 2].into_iter(), None, now);
        assert_eq!(first(now), Some(1));
        assert_eq!(first(now + AVOID_FOR), Some(0));
        nodes.answered(1);
        assert_eq!(first(now), Some(0));
    }

    #[test]
    fn publishing_connections_go_to_different_nodes() {
        let (nodes, now) = (Nodes::default(), Instant::now());
        let choose = |from: &[usize], own| nodes.choose(from.iter().copied(), own, now);
        assert_eq!(choose(&[0, 1, 2], Some(0)), Some(0));
        assert_eq!(choose(&[0, 1, 2], Some(1)), Some(1));
        assert_eq!(choose(&[0, 1, 2], None), Some(0));
        // A node that is taken is better than one that is silent, or none.
        nodes.silent(2, now);
        assert_eq!(choose(&[2, 1], Some(0)), Some(1));
        assert_eq!(choose(&[2], Some(1)), Some(0));
        assert_eq!(choose(&[], Some(1)), None);
    }
}
