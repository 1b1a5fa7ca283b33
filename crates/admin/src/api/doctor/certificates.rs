//! The certificates of registered callees, as all processes that have answered saw them.

use std::collections::BTreeMap;

use contract::control::{CertificateSeen, ControlAnswerBody};
use delivery::CalleeRegistry;

use crate::control::Answers;
use crate::doctor::{CertificateFacts, InstanceFacts};

/// By host, as last seen by any process. `answers`: of all processes, to the question for targets.
///
/// # Errors
/// When no process that calls targets has answered.
pub(super) fn gather(
    answers: &Answers,
    instances: &[InstanceFacts],
    registry: &CalleeRegistry,
) -> Result<Vec<CertificateFacts>, String> {
    if !instances.iter().any(|it| it.dispatches) {
        return Err("no process that calls targets has answered".to_owned());
    }
    let callees = callees_by_host(registry);
    let mut by_host: BTreeMap<&str, &CertificateSeen> = BTreeMap::new();
    for answer in &answers.answers {
        let ControlAnswerBody::Targets(seen) = &answer.body else {
            continue;
        };
        for certificate in &seen.certificates {
            let last = by_host.entry(&certificate.host).or_insert(certificate);
            // A certificate that was renewed is seen by the process with the last handshake.
            if certificate.seen_at > last.seen_at {
                *last = certificate;
            }
        }
    }
    let facts = by_host.into_values().map(|seen| CertificateFacts {
        host: seen.host.clone(),
        callees: callees
            .get(&seen.host)
            .map_or_else(String::new, |all| all.join(", ")),
        not_after: seen.not_after,
    });
    Ok(facts.collect())
}

/// The callees that are called with TLS, with their names.
fn callees_by_host(registry: &CalleeRegistry) -> BTreeMap<String, Vec<String>> {
    let mut callees: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for callee in registry.iter() {
        if let Some(host) = callee.url.as_ref().and_then(dispatcher::tls_host) {
            let named = match &callee.name {
                Some(name) => format!("{} {name}", callee.no),
                None => callee.no.clone(),
            };
            callees.entry(host).or_default().push(named);
        }
    }
    callees
}

#[cfg(test)]
mod tests {
    use contract::control::TargetsSeen;
    use uuid::Uuid;

    use super::*;
    use crate::control::Answered;

    fn seen(host: &str, times: Option<(u64, u64)>) -> CertificateSeen {
        CertificateSeen {
            host: host.to_owned(),
            not_after: times.map(|(not_after, _)| not_after),
            seen_at: times.map(|(_, seen_at)| seen_at),
        }
    }

    fn answers(processes: Vec<Vec<CertificateSeen>>) -> Answers {
        let answers = (1..).zip(processes).map(|(number, certificates)| Answered {
            from: Uuid::from_u128(number),
            body: ControlAnswerBody::Targets(TargetsSeen {
                certificates,
                ..TargetsSeen::default()
            }),
            at: 0,
        });
        Answers {
            answers: answers.collect(),
            asked_at: 0,
            silent: Vec::new(),
            is_sent: true,
        }
    }

    fn instance(dispatches: bool) -> InstanceFacts {
        InstanceFacts {
            name: "x h:1".to_owned(),
            dispatches,
            clock_offset_ms: 0,
            refused_settings: None,
        }
    }

    #[test]
    fn the_last_handshake_of_any_process_counts_and_names_the_callee() {
        let url = Some("https://crm.example/in".to_owned());
        let callee = ("EO001".to_owned(), Some("乐居新房".to_owned()), url);
        let registry = CalleeRegistry::new([callee]).unwrap();
        let answers = answers(vec![
            // An admin, which sees none.
            Vec::new(),
            vec![
                seen("crm.example", Some((900, 10))),
                seen("b.example", None),
            ],
            vec![
                seen("crm.example", Some((500, 20))),
                seen("b.example", None),
            ],
        ]);
        let found = gather(&answers, &[instance(false), instance(true)], &registry).unwrap();
        let expected = [
            ("b.example", "", None),
            ("crm.example", "EO001 乐居新房", Some(500)),
        ];
        let found: Vec<_> = found
            .iter()
            .map(|it| (&*it.host, &*it.callees, it.not_after))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn without_a_dispatcher_nothing_is_known() {
        let registry = CalleeRegistry::new([]).unwrap();
        let answers = answers(vec![Vec::new()]);
        let known = gather(&answers, &[instance(false)], &registry);
        assert!(known.unwrap_err().contains("calls targets"));
        let known = gather(&answers, &[instance(true)], &registry);
        assert_eq!(known, Ok(Vec::new()));
    }
}
