//! What becomes of messages that no attempt reads? No grave without a reader.
//!
//! - `delivery_limit`: handed out too often without being settled. A readable one becomes a dead
//!   letter with that reason: it is not tried again by itself, because it may be what kills its
//!   dispatchers.
//! - `unrouted`: the broker confirmed it, so its caller holds a `000`, but no queue wanted it (a
//!   binding is missing). A readable one is put back by way of the retry lane, after a moment: at
//!   once, it would run in circles as long as the binding is missing.
//!
//! Unreadable ones go to `poison` from either.

use crate::attempt::{Bench, decode, settle, unix_ms, write_down};
use crate::{follow_up, record};
use broker::{Lane, Received, Settlement};
use delivery::Reason;
use journal::Record;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// One at a time is plenty: these queues are empty on a sound day.
const PREFETCH: u16 = 8;
/// How long a stop waits for a message in hand.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);
/// Short: its caller was told `000`.
const PUT_BACK_AFTER: Duration = Duration::from_secs(1);

/// Reads a grave until `stop`.
pub(crate) async fn read(lane: Lane, bench: Arc<Bench>, stop: CancellationToken) {
    let mut consumer = bench.broker.consume(lane, PREFETCH);
    while let Some(received) = stop.run_until_cancelled(consumer.next()).await {
        let (record, settlement) = decide(lane, &received, &bench);
        let ending = async {
            write_down(record, &bench).await;
            settle(received, settlement).await;
        };
        // Cut off between the follow-up and the ack, it would be there twice; but one that cannot be
        // confirmed must not hold up the stop.
        let over = async {
            stop.cancelled().await;
            tokio::time::sleep(SETTLE_WITHIN).await;
        };
        tokio::select! {
            () = ending => {}
            () = over => {}
        }
    }
    consumer.cancel().await;
    consumer.close().await;
}

fn decide(lane: Lane, received: &Received, bench: &Bench) -> (Option<Record>, Settlement) {
    let message = match decode(received, lane, bench) {
        Ok(message) => message,
        Err(poison) => return (None, poison),
    };
    let request_id = message.request_id;
    if lane == Lane::DeliveryLimit {
        let reason = Reason::DeliveryLimit;
        tracing::error!(%request_id, reason = reason.as_str(), "callback given up: its attempts never ended");
        bench.metrics.dead(reason.as_str());
        let settlement = follow_up::dead(message.clone(), reason);
        let (target, now) = (
            bench.plans.plan(&message).target,
            unix_ms(SystemTime::now()),
        );
        let record = record::unattempted(&message, target, now, reason, &settlement);
        return (Some(record), settlement);
    }
    tracing::error!(%request_id, "callback was unrouted; put back. Is a binding missing?");
    bench.metrics.reinjected();
    let message = follow_up::same_again(&message, received.body.clone());
    let settlement = Settlement::Later {
        delay: PUT_BACK_AFTER,
        message,
    };
    (None, settlement)
}
