//! Rejects well-formed requests whose target must not or cannot be called.

use contract::{Invalid, Param, ParamError, Request};
use delivery::{CalleeRegistry, Guard, Guards, Target, TargetUrl, UrlError};
use runtime::LogLimit;

static REFUSED: LogLimit = LogLimit::new();

/// A request whose target may be called, as far as is known before an attempt.
#[derive(Debug)]
pub(crate) struct ValidatedRequest {
    pub(crate) request: Request,
    /// Scheme, host and port of what will be called, as known now.
    pub(crate) target: String,
}

impl ValidatedRequest {
    /// How many seconds its first attempt waits. `None`: it is due at once.
    pub(crate) fn delay_seconds(&self) -> Option<u32> {
        let delay = self.request.options.delay_seconds;
        delay.filter(|seconds| *seconds > 0)
    }
}

/// Checks the target: the URL against the address guard, or the callee's entry in the registry.
///
/// Names are not resolved here: every attempt checks the addresses it resolves.
pub(crate) fn validate_target(
    request: Request,
    callees: &CalleeRegistry,
    guards: &Guards,
) -> Result<ValidatedRequest, Invalid> {
    let guard = guards.for_app(&request.app_id);
    let checked = match (&request.callback_url, &request.callee_no) {
        // The URL wins. The callee number is then only a label, and an unknown one is no error.
        (Some(url), _) => check_url(url, guard).map_err(|error| (Param::CallbackUrl, error)),
        (None, Some(no)) => check_callee(no, callees).map_err(|error| (Param::CalleeNo, error)),
        (None, None) => return Err(Invalid::Missing(Param::CallbackUrlOrCalleeNo)),
    };
    let target = checked.map_err(|(param, error)| Invalid::Malformed(param, error))?;
    let target = target.to_string();
    Ok(ValidatedRequest { request, target })
}

fn check_url(url: &str, guard: &Guard) -> Result<Target, ParamError> {
    let url = TargetUrl::parse(url).map_err(url_error)?;
    guard.admit_url(&url).map_err(|refusal| {
        let rule = refusal.as_str();
        if let Some(suppressed) = REFUSED.permit() {
            tracing::info!(
                target: "ingress::guard",
                callback_target = %url.target(),
                rule,
                setting = refusal.setting(),
                suppressed,
                "callback_url refused by the address guard"
            );
        }
        ParamError::AddressRefused { rule }
    })?;
    Ok(url.target())
}

fn check_callee(no: &str, callees: &CalleeRegistry) -> Result<Target, ParamError> {
    let callee = callees.find(no).ok_or(ParamError::CalleeUnknown)?;
    let url = callee.url.as_ref().ok_or(ParamError::CalleeWithoutUrl)?;
    Ok(url.target())
}

const fn url_error(error: UrlError) -> ParamError {
    match error {
        UrlError::TooLong { max } => ParamError::UrlTooLong { max },
        UrlError::ControlCharacter => ParamError::UrlControlCharacter,
        UrlError::Malformed => ParamError::UrlMalformed,
        UrlError::Scheme => ParamError::UrlScheme,
        UrlError::UserInfo => ParamError::UrlUserInfo,
        UrlError::NoHost => ParamError::UrlNoHost,
        UrlError::Port => ParamError::UrlPort,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn callees() -> CalleeRegistry {
        let url = "http://10.0.0.7/in".to_owned();
        CalleeRegistry::new([("EO001".to_owned(), None, Some(url))]).unwrap()
    }

    fn verdict(target: &str) -> Result<(), Invalid> {
        let body =
            format!(r#"{{{target},"app_id":"a","message_type":"m","request_message":{{}}}}"#);
        let rules = contract::Rules::default();
        let request = Request::parse(&Bytes::from(body), &rules).unwrap();
        validate_target(request, &callees(), &Guards::default()).map(drop)
    }

    #[test]
    fn the_target_is_known_from_a_url_and_from_a_callee_number() {
        let target = |found: Result<Target, ParamError>| found.unwrap().to_string();
        let url = check_url("https://example.com/a?b=c", &Guard::closed());
        assert_eq!(target(url), "https://example.com:443");
        let callee = check_callee("EO001", &callees());
        assert_eq!(target(callee), "http://10.0.0.7:80");
    }

    #[test]
    fn a_public_url_and_a_registered_callee_are_valid() {
        assert_eq!(
            verdict(r#""callback_url":"https://example.com/a?b=c""#),
            Ok(())
        );
        assert_eq!(verdict(r#""callee_no":"EO001""#), Ok(()));
    }

    #[test]
    fn the_url_wins_and_the_callee_is_only_a_label() {
        assert_eq!(
            verdict(r#""callback_url":"https://example.com/","callee_no":"nobody""#),
            Ok(())
        );
    }

    #[test]
    fn each_invalid_target_is_rejected_with_its_own_reason() {
        let url = |error| Err(Invalid::Malformed(Param::CallbackUrl, error));
        let callee = |error| Err(Invalid::Malformed(Param::CalleeNo, error));
        let loopback = ParamError::AddressRefused { rule: "loopback" };
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
            url(ParamError::UrlScheme)
        );
        assert_eq!(
            verdict(r#""callback_url":"http://u:p@example.com/""#),
            url(ParamError::UrlUserInfo)
        );
        assert_eq!(
            verdict(r#""callback_url":"not a url""#),
            url(ParamError::UrlMalformed)
        );
        assert_eq!(
            verdict(r#""callee_no":"nobody""#),
            callee(ParamError::CalleeUnknown)
        );
        assert_eq!(
            verdict(r#""callee_no":"EO002""#),
            callee(ParamError::CalleeWithoutUrl)
        );
    }
}
