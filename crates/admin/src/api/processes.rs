//! Asks all processes, and names those that have answered.

use std::collections::HashMap;

use contract::control::{Ask, ControlAnswerBody};
use uuid::Uuid;

use super::process_view::SeenBy;
use crate::control::{Answers, ControlPlane};

/// The names of instances, for people.
pub(super) type Names = HashMap<Uuid, String>;

/// The answers to a question, and the names of those that answered. Both are asked at once.
pub(super) async fn named(control: &ControlPlane, ask: Ask) -> (Answers, Names) {
    let (answers, identities) = tokio::join!(control.ask(ask), control.ask(Ask::Identity));
    let names = identities.answers.into_iter().filter_map(|answer| {
        let ControlAnswerBody::Identity(report) = answer.body else {
            return None;
        };
        Some((report.instance, report.name()))
    });
    (answers, names.collect())
}

/// The name of an instance; of one that did not say it, its id.
pub(super) fn name_of(names: &Names, instance: Uuid) -> String {
    let name = names.get(&instance).cloned();
    name.unwrap_or_else(|| instance.to_string())
}

pub(super) fn seen_by(answers: &Answers) -> SeenBy {
    SeenBy::of(answers.answers.len(), &answers.silent, answers.is_sent)
}
