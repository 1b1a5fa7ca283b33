//! The log of `ringback dev` without `-v`: one short line for each attempt, and hints.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use runtime::{EventLine, EventLines, LogEvent, program};
use url::{Host, Url};

/// How many deferrals are remembered, so that each is said once.
const MAX_REMEMBERED: usize = 10_000;

/// The setting to which `--allow` adds.
const ALLOW: &str = "guard.allow";

/// Chooses the line of each event. `None` with `-v`: all of them are shown with their fields.
pub(crate) fn event_lines(verbose: bool) -> Option<EventLines> {
    if verbose {
        return None;
    }
    let said = Mutex::new(SaidDeferrals::default());
    Some(Box::new(move |event| {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        line(event, &mut said)
    }))
}

/// The deferrals that were said: id and reason.
#[derive(Default)]
struct SaidDeferrals(HashSet<(String, String)>);

impl SaidDeferrals {
    /// Whether this one is new.
    fn is_new(&mut self, id: &str, reason: &str) -> bool {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.clear();
        }
        self.0.insert((id.to_owned(), reason.to_owned()))
    }
}

fn line(event: &LogEvent, said: &mut SaidDeferrals) -> EventLine {
    let field = |name| event.field(name);
    let of_callback = |what: &str| {
        let (app, kind, target) = (
            field("app_id"),
            field("message_type"),
            field("callback_target"),
        );
        format!("{app} {kind} {target}: {what}  {}", field("request_id"))
    };
    match (&*event.target, &*event.message) {
        ("dispatcher::attempt", sentence) => {
            let hint = match field("outcome") {
                "address_refused" => allow_hint(field("callback_target")),
                _ => None,
            };
            let hint = hint.map_or_else(String::new, |hint| format!(". {hint}"));
            let cause = match field("cause") {
                "" => String::new(),
                cause => format!(" ({cause})"),
            };
            EventLine::Text(of_callback(&format!("{sentence}{cause}{hint}")))
        }
        ("dispatcher::deferral", _) => {
            let (id, reason) = (field("request_id"), field("reason"));
            if !said.is_new(id, reason) {
                return EventLine::Nothing;
            }
            let seconds: f64 = field("next_in_s").parse().unwrap_or_default();
            let what = format!(
                "deferred ({reason}) before attempt {}, for {seconds:.1} s and perhaps again",
                field("attempt")
            );
            EventLine::Text(of_callback(&what))
        }
        ("ingress::guard", _) => {
            let (target, rule) = (field("callback_target"), field("rule"));
            let hint = match field("setting") {
                ALLOW => allow_hint(target),
                _ => None,
            };
            let hint = hint.map_or_else(String::new, |hint| format!(". {hint}"));
            EventLine::Text(format!(
                "{target} is refused by the address guard ({rule}){hint}"
            ))
        }
        ("ingress::enqueue", "callback accepted") => {
            EventLine::Text(format!("accepted  {}", field("request_id")))
        }
        ("ingress::routes::accept", "callback rejected") => {
            let (status, msg) = (field("http_status"), field("msg"));
            EventLine::Text(format!("rejected with {status}: {msg}"))
        }
        ("runtime::shutdown", sentence) if sentence.starts_with("stopping") => {
            let signal = field("signal");
            EventLine::Text(format!(
                "stopping ({signal}); a second Ctrl-C ends it at once"
            ))
        }
        ("dispatcher::worker", sentence) if !field("until").is_empty() => {
            EventLine::Text(sentence.to_owned())
        }
        // Of no use to somebody who tries it out.
        ("runtime::http::limits", sentence) if sentence.contains("is lowered") => {
            EventLine::Nothing
        }
        ("ringback::recording::health", "journal is reachable")
        | ("journal::sqlite::schema", "journal migrated") => EventLine::Nothing,
        _ => EventLine::Usual,
    }
}

/// How to allow a target that the guard refuses.
fn allow_hint(target: &str) -> Option<String> {
    let url = Url::parse(target).ok()?;
    let port = url.port_or_known_default()?;
    let value = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => format!("{ip}:{port}"),
        Host::Ipv6(ip) => format!("[{ip}]:{port}"),
    };
    Some(format!(
        "Is it yours? Allow it: {} dev --allow {value}",
        program::name()
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn event(target: &str, message: &str, fields: &[(&'static str, &str)]) -> LogEvent {
        let fields = fields
            .iter()
            .map(|(name, text)| (*name, (*text).to_owned()));
        LogEvent {
            target: target.to_owned(),
            level: tracing::Level::INFO,
            message: message.to_owned(),
            fields: fields.collect::<BTreeMap<_, _>>(),
        }
    }

    fn shown(event: &LogEvent) -> EventLine {
        line(event, &mut SaidDeferrals::default())
    }

    const CALLBACK: [(&str, &str); 4] = [
        ("app_id", "demo"),
        ("message_type", "hello"),
        ("callback_target", "http://127.0.0.1:5107"),
        ("request_id", "01a20a25-46b9-7361-a013-9bc3295ebef1"),
    ];

    #[test]
    fn an_attempt_is_one_line_with_app_type_target_outcome_and_what_comes_next() {
        let sentence = "attempt 1 of 9: answered_5xx 503, retry in 5.1 s";
        let mut fields = CALLBACK.to_vec();
        fields.extend([("outcome", "answered_5xx"), ("queue", "first"), ("of", "9")]);
        let text = "demo hello http://127.0.0.1:5107: attempt 1 of 9: answered_5xx 503, retry in 5.1 s  \
                    01a20a25-46b9-7361-a013-9bc3295ebef1";
        let expected = EventLine::Text(text.to_owned());
        assert_eq!(
            shown(&event("dispatcher::attempt", sentence, &fields)),
            expected
        );
    }

    #[test]
    fn a_deferral_is_said_once_for_each_callback_and_reason() {
        let mut said = SaidDeferrals::default();
        let mut deferral = |reason: &str| {
            let mut fields = CALLBACK.to_vec();
            fields.extend([("reason", reason), ("attempt", "2"), ("next_in_s", "4.25")]);
            line(
                &event("dispatcher::deferral", "deferred", &fields),
                &mut said,
            )
        };
        let EventLine::Text(text) = deferral("breaker_open") else {
            panic!("it is not said");
        };
        assert!(
            text.contains(": deferred (breaker_open) before attempt 2, for 4.2 s"),
            "{text}"
        );
        assert_eq!(deferral("breaker_open"), EventLine::Nothing);
        assert!(matches!(deferral("paused"), EventLine::Text(_)));
        assert_eq!(deferral("paused"), EventLine::Nothing);
    }

    #[test]
    fn a_refusal_is_followed_by_how_to_allow_the_target() {
        use delivery::Refusal;
        for (target, refusal, value) in [
            (
                "http://127.0.0.1:3000",
                Refusal::Loopback,
                Some("127.0.0.1:3000"),
            ),
            ("http://[::1]:80", Refusal::Loopback, Some("[::1]:80")),
            (
                "https://localhost:443",
                Refusal::Loopback,
                Some("localhost"),
            ),
            ("http://127.0.0.1:25", Refusal::Port, None),
            ("http://10.0.0.1:80", Refusal::NotListed, None),
            ("http://169.254.169.254:80", Refusal::Metadata, None),
        ] {
            let (rule, setting) = (refusal.as_str(), refusal.setting().unwrap_or_default());
            let fields = [
                ("callback_target", target),
                ("rule", rule),
                ("setting", setting),
            ];
            let EventLine::Text(text) = shown(&event("ingress::guard", "refused", &fields)) else {
                panic!("{target} is not said");
            };
            let begin = format!("{target} is refused by the address guard ({rule})");
            let name = program::name();
            let hint = value.map(|it| format!(". Is it yours? Allow it: {name} dev --allow {it}"));
            assert_eq!(text, format!("{begin}{}", hint.unwrap_or_default()));
        }
        let mut fields = CALLBACK.to_vec();
        fields[2] = ("callback_target", "http://app.internal:80");
        fields.push(("outcome", "address_refused"));
        let EventLine::Text(text) = shown(&event("dispatcher::attempt", "attempt 1", &fields))
        else {
            panic!("an attempt is not said");
        };
        assert!(text.contains("--allow app.internal  01a2"), "{text}");
    }

    #[test]
    fn every_other_event_is_shown_as_usual() {
        let other = event("broker::embedded", "the disk is full", &[("path", "/x")]);
        assert_eq!(shown(&other), EventLine::Usual);
        assert!(event_lines(true).is_none());
    }
}
