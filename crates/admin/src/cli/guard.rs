//! Asks a running process whether a target may be called.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use super::client::{AdminClient, Parameter, problem_detail};
use super::error::CliError;
use crate::api::view::GuardView;
use crate::config::AdminConfig;
use crate::guard_check::{GuardQuestion, GuardReport};

/// The name is resolved meanwhile.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What came of the question to a running process.
#[derive(Debug)]
pub enum GuardAnswer {
    /// Its decision: role, machine and process, and the report.
    Decided(String, GuardReport),
    /// No process has decided: where, and why.
    NoProcess(String),
}

/// Asks the process at `admin`, or at `admin.listen`.
///
/// # Errors
/// An address that cannot be used, a question that the process refuses, or a token that it does not admit,
/// in one sentence.
pub async fn ask(
    admin: Option<Url>,
    config: &AdminConfig,
    question: &GuardQuestion,
) -> Result<GuardAnswer, CliError> {
    let none = |reason: String| Ok(GuardAnswer::NoProcess(reason));
    if admin.is_none() && config.listen.port() == 0 {
        return none("admin.listen has port 0, and no --admin URL is given".to_owned());
    }
    let client = AdminClient::new(admin, config)?;
    let address = client.shown_address();
    let mut parameters: Vec<Parameter> = vec![("target", question.target.clone())];
    parameters.extend(question.app.iter().map(|app| ("app_id", app.clone())));
    if !question.addresses.is_empty() {
        let addresses: Vec<String> = question.addresses.iter().map(ToString::to_string).collect();
        parameters.push(("addresses", addresses.join(",")));
    }
    let asked = client.try_get("/admin/v1/guard", &parameters);
    let (status, body) = match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(reason)) => return none(format!("{address} does not answer: {reason}")),
        Err(_) => return none(format!("{address} does not answer: timed out")),
    };
    if status == StatusCode::BAD_REQUEST
        && let Some(sentence) = problem_detail(&body)
    {
        return Err(CliError::Failed(sentence));
    }
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        let detail = problem_detail(&body).unwrap_or_else(|| status.to_string());
        return Err(CliError::Failed(format!(
            "{address} does not decide: {detail} (set RINGBACK__ADMIN__TOKEN, or use --from-settings)"
        )));
    }
    match serde_json::from_slice::<GuardView>(&body) {
        Ok(view) if status.is_success() => Ok(GuardAnswer::Decided(view.process, view.report)),
        Ok(_) | Err(_) => none(match problem_detail(&body) {
            Some(detail) => format!("{address} answers {status}: {detail}"),
            None => format!("{address} answers {status}, and not as a gateway does"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::ApiFixture;

    fn question(target: &str) -> GuardQuestion {
        GuardQuestion {
            target: target.to_owned(),
            ..GuardQuestion::default()
        }
    }

    #[tokio::test]
    async fn a_running_process_decides_and_a_missing_one_is_said() {
        let fixture = ApiFixture::new().await;
        let server = fixture.serve(None, true);
        let url: Url = server.base.parse().unwrap();
        let config = AdminConfig::default();
        let answer = ask(Some(url.clone()), &config, &question("http://127.0.0.1:1/")).await;
        let GuardAnswer::Decided(process, report) = answer.unwrap() else {
            panic!("no decision");
        };
        assert_eq!(process, "tests@here:1");
        assert!(
            report
                .refused
                .unwrap()
                .ends_with("(loopback); the setting is guard.allow")
        );
        // A question without an answer is the asker's fault.
        let refused = ask(Some(url.clone()), &config, &question("EO999")).await;
        assert!(refused.unwrap_err().to_string().starts_with("refused"));
        let closed = fixture.serve(Some("secret"), true);
        let answer = ask(
            Some(closed.base.parse().unwrap()),
            &config,
            &question("EO1"),
        )
        .await;
        let refused = answer.unwrap_err().to_string();
        assert!(refused.contains(" does not decide: "), "{refused}");
        assert!(
            refused.ends_with("(set RINGBACK__ADMIN__TOKEN, or use --from-settings)"),
            "{refused}"
        );
        drop((server, closed));
        fixture.close().await;
        let nowhere: Url = "http://127.0.0.1:9".parse().unwrap();
        let answer = ask(Some(nowhere), &config, &question("http://127.0.0.1:1/")).await;
        let GuardAnswer::NoProcess(reason) = answer.unwrap() else {
            panic!("an answer from nowhere");
        };
        let begin = "http://127.0.0.1:9/ does not answer: ";
        assert!(reason.starts_with(begin), "{reason}");
    }
}
