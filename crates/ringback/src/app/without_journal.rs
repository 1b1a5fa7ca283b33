//! What a role cannot answer without a journal, and which setting mends it.

use runtime::Health;

use super::role::ProcessRole;

/// The name of the note on `/readyz`.
const NOTE: &str = "no_journal";

/// Says at the start, and on `/readyz`, what answers 501.
pub(super) fn say_what_is_missing(role: ProcessRole, health: &Health) {
    let Some(missing) = missing(role) else {
        return;
    };
    let sentence = sentence(missing);
    tracing::warn!(
        role = role.as_str(),
        setting = "journal.url",
        http_status = 501,
        "{sentence}"
    );
    health.add_note(NOTE, sentence);
}

/// What answers 501 in a role without a journal.
const fn missing(role: ProcessRole) -> Option<&'static str> {
    match role {
        ProcessRole::Ingress => Some("the query, cancel and Idempotency-Key"),
        ProcessRole::Dispatcher | ProcessRole::Admin => Some(
            "callbacks, cancel, retry-now, dead letters, replay and the audit log of the operators' API",
        ),
        // The embedded store has one, and a recorder does not start without.
        ProcessRole::Recorder | ProcessRole::Serve | ProcessRole::Dev => None,
    }
}

fn sentence(missing: &str) -> String {
    format!(
        "there is no journal: {missing} answer 501; set journal.url (RINGBACK__JOURNAL__URL) to a \
         PostgreSQL database"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_on_rabbitmq_names_what_answers_501_and_the_setting() {
        for (role, named) in [
            (
                ProcessRole::Ingress,
                &["query", "cancel", "Idempotency-Key"][..],
            ),
            (
                ProcessRole::Dispatcher,
                &["dead letters", "replay", "cancel"],
            ),
            (ProcessRole::Admin, &["dead letters", "replay", "cancel"]),
        ] {
            let sentence = sentence(missing(role).unwrap());
            let always = ["501", "journal.url", "RINGBACK__JOURNAL__URL"];
            for part in named.iter().chain(&always) {
                assert!(sentence.contains(part), "{role}: {sentence}");
            }
        }
        for role in [ProcessRole::Recorder, ProcessRole::Serve, ProcessRole::Dev] {
            assert_eq!(missing(role), None, "{role}");
        }
    }
}
