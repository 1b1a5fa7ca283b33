//! Makes the messages that ask whether a work queue is worked off.

use broker::BrokerMessage;
use contract::Probe;
use runtime::clock::now_ms;
use uuid::Uuid;

/// A probe that is answered to this address, and its id.
pub(crate) fn probe(reply_to: String) -> (Uuid, BrokerMessage) {
    let probe = Probe {
        probe_id: Uuid::now_v7(),
        reply_to,
        sent_at: now_ms(),
    };
    let message = BrokerMessage {
        id: probe.probe_id.hyphenated().to_string(),
        kind: Probe::AMQP_TYPE,
        headers: Vec::new(),
        body: probe.encode().into(),
    };
    (probe.probe_id, message)
}
