//! The switch of operators that stops the intake of new callbacks.

use contract::Answer;
use journal::Pause;
use runtime::LogLimit;
use tokio::sync::watch;

use crate::rejection::Rejection;

static STOPPED: LogLimit = LogLimit::new();

/// Whether new callbacks are accepted. Queries and cancellations go on in any case.
pub(crate) struct IntakeSwitch(watch::Receiver<Option<Pause>>);

impl IntakeSwitch {
    pub(crate) const fn new(stopped: watch::Receiver<Option<Pause>>) -> Self {
        Self(stopped)
    }

    /// Refuses a new callback while intake is stopped.
    ///
    /// # Errors
    /// A 503 without an id: nothing was queued.
    pub(crate) fn check(&self) -> Result<(), Rejection> {
        if self.0.borrow().is_none() {
            return Ok(());
        }
        if let Some(suppressed) = STOPPED.permit() {
            tracing::warn!(
                suppressed,
                "callback rejected: an operator has stopped intake"
            );
        }
        Err(Answer::Unavailable.into())
    }
}

#[cfg(test)]
mod tests {
    use journal::PauseKind;

    use super::*;

    #[test]
    fn a_stopped_intake_refuses_without_an_id_until_it_is_resumed() {
        let (sender, receiver) = watch::channel(None);
        let switch = IntakeSwitch::new(receiver);
        assert!(switch.check().is_ok());
        sender.send_replace(Some(Pause {
            kind: PauseKind::Intake,
            name: PauseKind::EVERYTHING.to_owned(),
            paused_by: "ann".to_owned(),
            paused_at: 1,
            reason: "migration".to_owned(),
        }));
        let rejection = switch.check().unwrap_err();
        assert_eq!(
            (rejection.answer.code(), rejection.request_id),
            ("500", None)
        );
        sender.send_replace(None);
        assert!(switch.check().is_ok());
    }
}
