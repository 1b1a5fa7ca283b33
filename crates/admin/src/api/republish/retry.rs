//! Callbacks that wait, taken for their next attempt under a new hold.

use std::time::Duration;

use contract::{Message, MessageError};
use journal::{Journal, JournalError, WaitingMessage};
use uuid::Uuid;

use super::{MAX_RESUMED, Taken};

impl Taken for WaitingMessage {
    const NAME: &'static str = "retries";

    const MAY_WAIT: bool = true;

    /// Id, generation and hold.
    type Mark = (Uuid, u32, u32);

    fn request_id(&self) -> Uuid {
        self.request_id
    }

    fn mark(&self) -> Self::Mark {
        (self.request_id, self.generation, self.hold)
    }

    fn message(&self, now: u64) -> Result<Message, MessageError> {
        next_hold(self, now)
    }

    fn delay(&self, spread: Duration, now: u64) -> Duration {
        Duration::from_millis(self.due_at.saturating_sub(now)).max(spread)
    }

    async fn confirm(journal: &Journal, published: &[Self::Mark]) -> Result<(), JournalError> {
        journal.confirm_retries(published).await
    }

    async fn take_interrupted(
        journal: &Journal,
        before: u64,
        now: u64,
    ) -> Result<Vec<Self>, JournalError> {
        journal.unfinished_retries(before, MAX_RESUMED, now).await
    }
}

/// The message of the next attempt under its new hold.
fn next_hold(waiting: &WaitingMessage, now: u64) -> Result<Message, MessageError> {
    let mut message = Message::decode(&waiting.message)?;
    message.generation = waiting.generation;
    message.attempt = waiting.attempt;
    message.hold = waiting.hold;
    message.deferrals = 0;
    let later = waiting.due_at > now;
    message.not_before = later.then_some(waiting.due_at);
    message.scheduled_at = later.then_some(now);
    message.reply_to = None;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use journal::{RecordedState, RetryOutcome};
    use runtime::clock::now_ms;

    use super::*;
    use crate::api::republish::{Published, resume_once};
    use crate::api::tests::{ApiFixture, message, record};

    #[test]
    fn a_retry_keeps_its_identity_its_attempts_and_its_expiry() {
        let mut old = message("demo");
        old.attempt = 1;
        old.deferrals = 2;
        old.not_before = Some(1);
        old.options.expire_seconds = Some(60);
        let mut waiting = WaitingMessage {
            request_id: old.request_id,
            generation: 1,
            hold: 2,
            attempt: 4,
            due_at: 5_000,
            message: old.encode().into(),
        };
        let new = next_hold(&waiting, 5_000).unwrap();
        assert_eq!((new.generation, new.attempt, new.hold), (1, 4, 2));
        assert_eq!(
            (new.deferrals, new.not_before, new.scheduled_at),
            (0, None, None)
        );
        assert_eq!(new.options, old.options);
        assert_eq!(new.request_message, old.request_message);
        waiting.due_at = 6_000;
        let later = next_hold(&waiting, 5_000).unwrap();
        assert_eq!(
            (later.not_before, later.scheduled_at),
            (Some(6_000), Some(5_000))
        );
    }

    #[tokio::test]
    async fn an_interrupted_retry_is_resumed_after_a_minute() {
        let fixture = ApiFixture::new().await;
        let (broker, journal) = (&fixture.broker, &fixture.journal);
        let waiting = message("demo");
        let until = now_ms() + 3_600_000;
        let mut failed = record(
            &waiting,
            RecordedState::Retrying {
                next_attempt_at: until,
            },
        );
        failed.message = Some(waiting.encode().into());
        journal.record(&[failed]).await.unwrap();
        let taken = journal.take_retry(waiting.request_id, now_ms()).await;
        assert!(matches!(taken, Ok(RetryOutcome::Retry(_))));
        let soon = resume_once::<WaitingMessage>(broker, journal, now_ms()).await;
        assert_eq!(soon, Published::default(), "its publisher may be at work");
        let later = now_ms() + 61_000;
        let resumed = resume_once::<WaitingMessage>(broker, journal, later).await;
        assert_eq!((resumed.confirmed, resumed.pending), (1, 0));
        let queued = fixture.next(broker::Queue::Retry).await;
        assert_eq!((queued.generation, queued.hold), (0, 1));
        let again = resume_once::<WaitingMessage>(broker, journal, later + 61_000).await;
        assert_eq!(again, Published::default(), "it is marked as published");
        fixture.close().await;
    }
}
