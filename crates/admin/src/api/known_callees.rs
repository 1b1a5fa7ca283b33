//! The names of callees beside their numbers, and numbers that nobody knows.

use delivery::CalleeRegistry;
use journal::{Filter, Journal};
use runtime::clock::now_ms;

use super::error::ApiError;
use crate::doctor::said::say;

/// How many registered callees an error lists.
const MAX_LISTED: usize = 30;

/// The name of a registered callee.
pub(super) fn name_of(callee_no: Option<&String>, registry: &CalleeRegistry) -> Option<String> {
    registry.find(callee_no?)?.name.clone()
}

/// Refuses a filter by a callee that is not registered and has no callbacks, when nothing was found by
/// it: a mistyped number must not look like a callee without callbacks. Callbacks of a former callee can
/// still be found.
///
/// # Errors
/// A sentence that lists the registered callees.
pub(super) async fn refuse_unknown(
    filter: &Filter,
    registry: &CalleeRegistry,
    is_empty: bool,
    journal: &Journal,
) -> Result<(), ApiError> {
    let Some(no) = filter.callee_no.as_ref().filter(|_| is_empty) else {
        return Ok(());
    };
    if registry.find(no).is_some() || has_callbacks(no, journal).await? {
        return Ok(());
    }
    let shown: String = no.chars().take(50).collect();
    Err(ApiError::parameter(say!(
        "no callee {shown:?} is registered, and the journal has no callback of it; known: {0}",
        "没有登记被回调方 {shown:?}，回调记录库中也没有它的回调；已登记：{0}",
        listed(registry)
    )))
}

/// Whether the journal has any callback of this number, whatever else was asked for.
async fn has_callbacks(callee_no: &str, journal: &Journal) -> Result<bool, ApiError> {
    let filter = Filter {
        callee_no: Some(callee_no.to_owned()),
        discarded: true,
        ..Filter::default()
    };
    let found = journal.list(&filter, None, 1, now_ms()).await?;
    Ok(!found.callbacks.is_empty())
}

/// Numbers with names, the first ones.
pub(super) fn listed(registry: &CalleeRegistry) -> String {
    let mut callees = registry.iter().map(|callee| match &callee.name {
        Some(name) => format!("{} {name}", callee.no),
        None => callee.no.clone(),
    });
    let listed: Vec<String> = callees.by_ref().take(MAX_LISTED).collect();
    let others = callees.count();
    match others {
        0 => listed.join(", "),
        _ => format!("{}, and {others} more", listed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::{ApiFixture, dead, message, record};

    #[tokio::test]
    async fn an_unknown_number_is_refused_with_those_that_are_known_and_their_names() {
        let fixture = ApiFixture::new().await;
        let journal = &fixture.journal;
        let callee = |number: usize| (format!("X{number:03}"), None, None);
        let registry = CalleeRegistry::new((0..40).map(callee)).unwrap();
        let filter = |no: &str| Filter {
            callee_no: Some(no.to_owned()),
            ..Filter::default()
        };
        let refused = refuse_unknown(&filter("EO0O1"), &registry, true, journal).await;
        let sentence = refused.unwrap_err().to_string();
        let begin = "no callee \"EO0O1\" is registered, and the journal has no callback of it; \
                     known: EO001 乐居新房, ";
        assert!(sentence.starts_with(begin), "{sentence}");
        assert!(sentence.ends_with("X024, and 15 more"), "{sentence}");
        // A former callee: it is in no registry, but its callbacks are in the journal.
        let mut former = record(&message("demo"), dead("exhausted"));
        former.origin.callee_no = Some("EO777".to_owned());
        journal.record(&[former]).await.unwrap();
        for (filter, is_empty) in [
            (filter("EO0O1"), false),
            (filter("eo001"), true),
            (filter("EO777"), true),
            (Filter::default(), true),
        ] {
            let found = refuse_unknown(&filter, &registry, is_empty, journal).await;
            assert_eq!(found, Ok(()), "{filter:?}");
        }
        assert_eq!(name_of(Some(&"X001".to_owned()), &registry), None);
        fixture.close().await;
    }
}
