//! The names of callees beside their numbers, and numbers that nobody knows.

use delivery::CalleeRegistry;
use journal::Filter;

use super::error::ApiError;

/// How many registered callees an error lists.
const MAX_LISTED: usize = 30;

/// The name of a registered callee.
pub(super) fn name_of(callee_no: Option<&String>, registry: &CalleeRegistry) -> Option<String> {
    registry.find(callee_no?)?.name.clone()
}

/// Refuses a filter by a callee that is not registered, when nothing was found by it: a mistyped number
/// must not look like a callee without callbacks. Callbacks of a former callee can still be found.
///
/// # Errors
/// A sentence that lists the registered callees.
pub(super) fn refuse_unknown(
    filter: &Filter,
    registry: &CalleeRegistry,
    is_empty: bool,
) -> Result<(), ApiError> {
    match &filter.callee_no {
        Some(no) if is_empty && registry.find(no).is_none() => {
            let shown: String = no.chars().take(50).collect();
            Err(ApiError::parameter(format!(
                "no callee {shown:?} is registered, and the journal has no callback of it; known: {}",
                listed(registry)
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// Numbers with names, the first ones.
fn listed(registry: &CalleeRegistry) -> String {
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

    #[test]
    fn an_unknown_number_is_refused_with_those_that_are_known_and_their_names() {
        let callee = |number: usize| (format!("X{number:03}"), None, None);
        let registry = CalleeRegistry::new((0..40).map(callee)).unwrap();
        let filter = |no: &str| Filter {
            callee_no: Some(no.to_owned()),
            ..Filter::default()
        };
        let refused = refuse_unknown(&filter("EO0O1"), &registry, true).unwrap_err();
        let sentence = refused.to_string();
        let begin = "no callee \"EO0O1\" is registered, and the journal has no callback of it; \
                     known: EO001 乐居新房, ";
        assert!(sentence.starts_with(begin), "{sentence}");
        assert!(sentence.ends_with("X024, and 15 more"), "{sentence}");
        for (no, is_empty) in [("EO0O1", false), ("eo001", true)] {
            assert_eq!(refuse_unknown(&filter(no), &registry, is_empty), Ok(()));
        }
        assert_eq!(refuse_unknown(&Filter::default(), &registry, true), Ok(()));
        assert_eq!(name_of(Some(&"X001".to_owned()), &registry), None);
    }
}
