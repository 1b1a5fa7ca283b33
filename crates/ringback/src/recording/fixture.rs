//! Records for tests.

use journal::{Origin, Record, RecordedState};
use uuid::Uuid;

pub(super) fn record() -> Record {
    Record {
        origin: Origin {
            request_id: Uuid::now_v7(),
            app_id: "app".to_owned(),
            caller_no: None,
            callee_no: None,
            message_type: "type".to_owned(),
            callback_url: None,
            target: String::new(),
            accepted_at: 1,
        },
        generation: 0,
        attempt: 1,
        at: 2,
        state: RecordedState::Delivered,
        attempted: None,
        hold: 0,
        message: None,
    }
}
