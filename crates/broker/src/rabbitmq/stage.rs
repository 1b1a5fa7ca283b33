//! What a new connection waits for: a node that accepts TCP may hang at any stage behind it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// The stages, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Tcp,
    Tls,
    Handshake,
    Channel,
    Topology,
}

impl Stage {
    const ALL: [Self; 5] = [
        Self::Tcp,
        Self::Tls,
        Self::Handshake,
        Self::Channel,
        Self::Topology,
    ];

    /// The name of the stage, and the likely cause of a silence in it.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Tcp => (
                "TCP",
                "a firewall, a wrong address, or a machine that is frozen",
            ),
            Self::Tls => (
                "TLS",
                "it accepts TCP and does not speak TLS there, or it is frozen",
            ),
            Self::Handshake => (
                "the AMQP handshake",
                "it accepts TCP and does not answer: out of file descriptors or memory, still \
                 starting, or frozen",
            ),
            Self::Channel => (
                "opening a channel",
                "it answered the handshake: overloaded, or a partitioned cluster",
            ),
            Self::Topology => (
                "declaring the topology",
                "a queue without a leader or a majority",
            ),
        }
    }
}

/// The stage of one new connection, shared with the code that opens it.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    pub(super) fn enter(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Release);
    }

    fn stage(&self) -> Stage {
        let stage = usize::from(self.0.load(Ordering::Acquire));
        Stage::ALL.get(stage).copied().unwrap_or(Stage::Tcp)
    }

    /// Why there is no connection after this time: the stage that hangs, and the likely cause.
    pub(super) fn hangs(&self, waited: Duration) -> String {
        let (name, cause) = self.stage().words();
        format!(
            "hangs in {name}: no answer within {} s. Likely: {cause}; see the runbook, \"A broker that \
             hangs\"",
            waited.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_that_hangs_is_named_with_its_likely_cause() {
        let progress = Progress::default();
        let waited = Duration::from_secs(5);
        assert!(
            progress
                .hangs(waited)
                .starts_with("hangs in TCP: no answer within 5 s. Likely: a firewall")
        );
        for (stage, words) in [
            (Stage::Tls, "hangs in TLS: "),
            (
                Stage::Handshake,
                "hangs in the AMQP handshake: no answer within 5 s. Likely: it accepts TCP and does not \
                 answer: out of file descriptors or memory",
            ),
            (Stage::Channel, "hangs in opening a channel: "),
            (Stage::Topology, "hangs in declaring the topology: "),
        ] {
            progress.enter(stage);
            let sentence = progress.hangs(waited);
            assert!(sentence.starts_with(words), "{sentence}");
            assert!(sentence.contains("see the runbook"), "{sentence}");
        }
    }
}
