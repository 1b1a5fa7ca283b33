//! `ringback doctor`: is all well? One line for each check.

use std::future::Future;
use std::time::Duration;

use clap::Args;
use runtime::clock::now_ms;
use url::Url;

use super::args::ApiArgs;
use super::client::{AdminClient, parse};
use super::error::CliError;
use super::local_time;
use super::stdout::{print_json, print_line};
use crate::api::view::DoctorView;
use crate::config::AdminConfig;
use crate::doctor::{Finding, Severity, operator_clock};

/// The checks of the process have deadlines of their own, which are shorter.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `ringback doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// RabbitMQ's management API, for instance http://guest:guest@127.0.0.1:15672; by default host,
    /// user and password of broker.url, on port 15672 (amqps: https on port 15671).
    #[arg(long, value_name = "URL")]
    pub management: Option<Url>,
}

/// Prints the findings of the process that is asked, and `others`.
///
/// # Errors
/// When a check is a failure.
pub async fn run(
    args: DoctorArgs,
    config: &AdminConfig,
    others: impl Future<Output = Vec<Finding>>,
) -> Result<(), CliError> {
    let client = AdminClient::new(args.api.admin, config)?;
    let (mut findings, others) = tokio::join!(ask(&client), others);
    findings.extend(others);
    for finding in &findings {
        match args.api.json {
            true => print_json(finding)?,
            false => print_line(&line(finding))?,
        }
    }
    let failures = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Failure);
    match failures.count() {
        0 => Ok(()),
        1 => Err(CliError::failed("1 check has failed")),
        count => Err(CliError::failed(format!("{count} checks have failed"))),
    }
}

/// What the process finds, and how far this machine's clock is from its own.
async fn ask(client: &AdminClient) -> Vec<Finding> {
    let sent = now_ms();
    let answer = tokio::time::timeout(TIMEOUT, client.get("/admin/v1/doctor", &[])).await;
    let answer = answer.unwrap_or_else(|_| {
        let seconds = TIMEOUT.as_secs();
        Err(CliError::failed(format!(
            "the operators' API does not answer within {seconds} s"
        )))
    });
    let view = answer.and_then(|body| parse::<DoctorView>(&body));
    match view {
        Ok(view) => {
            let asked = Finding::ok("asked", format!("{} answers", view.process));
            let clock = operator_clock(sent, now_ms(), view.now);
            [asked, clock].into_iter().chain(view.findings).collect()
        }
        Err(error) => vec![
            Finding::failure("asked", error.to_string())
                .next("start the gateway, or name another process with --admin URL"),
        ],
    }
}

/// One line: how bad, which check, what is so, and the next step.
fn line(finding: &Finding) -> String {
    let Finding {
        check,
        severity,
        sentence,
        next,
        runbook,
        ..
    } = finding;
    let sentence = local_time::in_sentence(sentence);
    let next = next.as_ref().map(|next| format!(". Next: {next}"));
    let next = next.unwrap_or_default();
    let runbook = runbook.as_ref();
    let runbook = runbook.map(|anchor| format!(" (runbook: {anchor})"));
    let runbook = runbook.unwrap_or_default();
    runtime::text::one_line(&format!(
        "{severity:<8} {check:<16} {sentence}{next}{runbook}"
    ))
    .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::ApiFixture;

    #[test]
    fn a_finding_is_one_line_with_the_next_step() {
        let finding = Finding::failure("journal", "it is unreachable:\nrefused")
            .next("repair PostgreSQL")
            .runbook("the-journal-is-unreachable");
        assert_eq!(
            line(&finding),
            "failure  journal          it is unreachable: refused. Next: repair PostgreSQL \
             (runbook: the-journal-is-unreachable)"
        );
        let finding = Finding::ok("disk", "there is space");
        assert_eq!(line(&finding), "ok       disk             there is space");
    }

    #[tokio::test]
    async fn a_running_process_is_examined_and_one_that_does_not_answer_is_a_failure() {
        let fixture = ApiFixture::new().await;
        fixture.dead_letter("demo", "exhausted").await;
        let server = fixture.serve(None, true);
        let url: Url = server.base.parse().unwrap();
        let client = AdminClient::new(Some(url), &AdminConfig::default()).unwrap();
        let findings = ask(&client).await;
        let of = |check: &str| {
            let found = findings.iter().find(|finding| finding.check == check);
            let found = found.unwrap_or_else(|| panic!("{check}: {findings:?}"));
            (found.severity, &*found.sentence)
        };
        assert_eq!(of("asked"), (Severity::Ok, "tests@here:1 answers"));
        assert_eq!(of("your clock").0, Severity::Ok);
        let broker = (Severity::Ok, "the embedded store takes callbacks");
        assert_eq!(of("broker"), broker);
        let dead = (Severity::Warning, "1 since yesterday (1 in all)");
        assert_eq!(of("dead letters"), dead);
        assert_eq!(of("pauses"), (Severity::Ok, "nothing is paused"));
        drop(server);
        fixture.close().await;

        let findings = ask(&client).await;
        let [only] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!(only.severity, Severity::Failure);
        let refused = only
            .sentence
            .contains("does not answer: Connection refused");
        assert!(refused, "{only:?}");
    }
}
