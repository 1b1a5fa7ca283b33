//! Which well-formed requests are refused all the same?

use crate::reply::Turned;
use crate::server::Door;
use broker::Depths;
use contract::{Answer, Flaw, Invalid, Param, Request};
use delivery::{Guard, Guards, Parties, Target, TargetUrl, UrlFlaw};

/// A request whose target may be called, as far as that can be known before an attempt.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) request: Request,
    /// Scheme, host and port of what will be called, as far as is known now.
    pub(crate) target: String,
}

/// Checks the target: the URL's form and what it tells by itself, or the callee's entry in the registry.
///
/// A name is not resolved here: what it resolves to is checked at every attempt, when it counts.
pub(crate) fn admit(
    request: Request,
    parties: &Parties,
    guards: &Guards,
) -> Result<Admitted, Invalid> {
    let guard = guards.of(&request.app_id);
    let checked = match (&request.callback_url, &request.callee_no) {
        // The URL wins; the callee's number is then only a label, and an unknown one is no error.
        (Some(url), _) => check_url(url, guard).map_err(|flaw| (Param::CallbackUrl, flaw)),
        (None, Some(no)) => check_callee(no, parties).map_err(|flaw| (Param::CalleeNo, flaw)),
        (None, None) => return Err(Invalid::Missing(Param::CallbackUrlOrCalleeNo)),
    };
    let target = checked.map_err(|(param, flaw)| Invalid::Malformed(param, flaw))?;
    let target = target.to_string();
    Ok(Admitted { request, target })
}

fn check_url(url: &str, guard: &Guard) -> Result<Target, Flaw> {
    let url = TargetUrl::parse(url).map_err(flaw)?;
    guard
        .admit_url(&url)
        .map_err(|refusal| Flaw::AddressRefused {
            rule: refusal.as_str(),
        })?;
    Ok(url.target())
}

fn check_callee(no: &str, parties: &Parties) -> Result<Target, Flaw> {
    let party = parties.find(no).ok_or(Flaw::CalleeUnknown)?;
    let url = party.url.as_ref().ok_or(Flaw::CalleeWithoutUrl)?;
    Ok(url.target())
}

const fn flaw(flaw: UrlFlaw) -> Flaw {
    match flaw {
        UrlFlaw::TooLong { max } => Flaw::UrlTooLong { max },
        UrlFlaw::ControlCharacter => Flaw::UrlControlCharacter,
        UrlFlaw::Malformed => Flaw::UrlMalformed,
        UrlFlaw::Scheme => Flaw::UrlScheme,
        UrlFlaw::UserInfo => Flaw::UrlUserInfo,
        UrlFlaw::NoHost => Flaw::UrlNoHost,
        UrlFlaw::Port => Flaw::UrlPort,
    }
}

/// Checks that the backlog has room: more than is delivered must not be accepted for ever.
pub(crate) fn room(door: &Door) -> Result<(), Turned> {
    let depths = *door.depths.borrow();
    let Some((what, backlog)) = over(&depths, door.max_backlog, door.max_journal_backlog) else {
        return Ok(());
    };
    tracing::warn!(backlog, "the backlog of {what} is full");
    Err(Answer::Unavailable.into())
}

/// Which backlog has reached its limit, if one has.
fn over(depths: &Depths, most: u64, most_records: u64) -> Option<(&'static str, u64)> {
    let backlogs = [
        ("callbacks", depths.backlog(), most),
        ("records", depths.journal, most_records),
    ];
    backlogs.into_iter().find_map(|(what, backlog, most)| {
        let backlog = u64::from(backlog);
        (backlog >= most).then_some((what, backlog))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn parties() -> Parties {
        let url = "http://10.0.0.7/in".to_owned();
        Parties::new([("EO001".to_owned(), None, Some(url))]).unwrap()
    }

    fn verdict(target: &str) -> Result<(), Invalid> {
        let body =
            format!(r#"{{{target},"app_id":"a","message_type":"m","request_message":{{}}}}"#);
        let rules = contract::Rules::default();
        let request = Request::parse(&Bytes::from(body), &rules).unwrap();
        admit(request, &parties(), &Guards::default()).map(drop)
    }

    #[test]
    fn each_backlog_has_a_limit_of_its_own() {
        let depths = |first, retry, journal| Depths {
            first,
            retry,
            journal,
            ..Depths::default()
        };
        assert_eq!(over(&depths(4, 5, 99), 10, 100), None);
        assert_eq!(over(&depths(5, 5, 0), 10, 100), Some(("callbacks", 10)));
        assert_eq!(over(&depths(0, 0, 100), 10, 100), Some(("records", 100)));
    }

    #[test]
    fn the_target_is_told_whether_by_url_or_by_number() {
        let target = |it: Result<Target, Flaw>| it.unwrap().to_string();
        let url = check_url("https://example.com/a?b=c", &Guard::closed());
        assert_eq!(target(url), "https://example.com:443");
        let callee = check_callee("EO001", &parties());
        assert_eq!(target(callee), "http://10.0.0.7:80");
    }

    #[test]
    fn a_public_url_and_a_registered_callee_are_admitted() {
        assert_eq!(
            verdict(r#""callback_url":"https://example.com/a?b=c""#),
            Ok(())
        );
        assert_eq!(verdict(r#""callee_no":"EO001""#), Ok(()));
    }

    #[test]
    fn the_url_wins_and_its_callee_is_only_a_label() {
        assert_eq!(
            verdict(r#""callback_url":"https://example.com/","callee_no":"nobody""#),
            Ok(())
        );
    }

    #[test]
    fn what_cannot_be_called_is_refused_by_name() {
        let url = |flaw| Err(Invalid::Malformed(Param::CallbackUrl, flaw));
        let callee = |flaw| Err(Invalid::Malformed(Param::CalleeNo, flaw));
        let loopback = Flaw::AddressRefused { rule: "loopback" };
        assert_eq!(
            verdict(r#""callback_url":"http://127.0.0.1:5672/""#),
            url(loopback.clone())
        );
        assert_eq!(
            verdict(r#""callback_url":"http://2130706433/""#),
            url(loopback)
        );
        assert_eq!(
            verdict(r#""callback_url":"ftp://example.com/""#),
            url(Flaw::UrlScheme)
        );
        assert_eq!(
            verdict(r#""callback_url":"http://u:p@example.com/""#),
            url(Flaw::UrlUserInfo)
        );
        assert_eq!(
            verdict(r#""callback_url":"not a url""#),
            url(Flaw::UrlMalformed)
        );
        assert_eq!(
            verdict(r#""callee_no":"nobody""#),
            callee(Flaw::CalleeUnknown)
        );
        assert_eq!(
            verdict(r#""callee_no":"EO002""#),
            callee(Flaw::CalleeWithoutUrl)
        );
    }
}
