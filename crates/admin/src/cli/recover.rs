//! `ringback recover`: publishes what waits from the journal, after the broker lost its data.

use serde_json::{Map, json};

use super::args::RecoverArgs;
use super::bulk::{self, BulkPlan, StartedAt};
use super::bulk_report::{self, BulkOperation};
use super::client::AdminClient;
use super::error::CliError;
use super::stdout::{print_json, print_line};
use crate::api::bulk_view::BulkCountView;
use crate::api::view::CallbackView;
use crate::config::AdminConfig;

/// What is not in the journal's hands is among these.
const UNFINISHED: &str = "queued,retrying";

/// Counts first. Without `--yes` that is all.
pub(super) async fn run(args: RecoverArgs, config: &AdminConfig) -> Result<(), CliError> {
    let RecoverArgs { force, anew, step } = args;
    let client = AdminClient::new(step.api.admin.clone(), config)?;
    let as_json = step.api.json;
    let plan = |updated_before: Option<u64>| {
        let mut filter = Map::new();
        filter.extend(updated_before.map(|at| ("updated_before".to_owned(), json!(at))));
        let mut body = Map::new();
        body.insert("filter".to_owned(), json!(filter));
        body.insert("force".to_owned(), json!(force));
        BulkPlan {
            operation: BulkOperation::Recover,
            ids: Vec::new(),
            body,
            first: Map::new(),
            started_at: StartedAt::Filter,
        }
    };
    let counted = bulk::count(&plan(None), step.rate, &client).await?;
    let continues = counted.continues.filter(|_| !anew);
    let counted = match continues {
        Some(_) => bulk::count(&plan(continues), step.rate, &client).await?,
        None => counted,
    };
    let total = counted.matched.min(step.limit.unwrap_or(u64::MAX));
    if !as_json {
        introduce(&counted, continues)?;
    }
    if step.dry_run || !step.yes {
        if as_json {
            list_unrecoverable(&client).await?;
        }
        bulk_report::plan(
            BulkOperation::Recover,
            &counted,
            (total, step.rate),
            as_json,
        )?;
        if !step.dry_run && !as_json {
            print_line("nothing was done: --yes does it")?;
        }
        return Ok(());
    }
    if as_json {
        list_unrecoverable(&client).await?;
    }
    bulk::finish(plan(continues), &counted, total, step, client).await
}

fn introduce(counted: &BulkCountView, continues: Option<u64>) -> Result<(), CliError> {
    if let Some(begun) = continues {
        let begun = contract::rfc3339(begun);
        print_line(&format!(
            "continues the recovery that began at {begun} (--anew begins another one)"
        ))?;
    }
    Ok(print_line(&match counted.queued {
        Some(count) => format!("the queues hold {count} messages, dead letters apart"),
        None => "how much the queues hold is not known".to_owned(),
    })?)
}

/// One line for each unfinished callback without a message.
async fn list_unrecoverable(client: &AdminClient) -> Result<(), CliError> {
    let parameters = vec![("status", UNFINISHED.to_owned())];
    let mut pages = client.pages("/admin/v1/callbacks", parameters, u64::MAX);
    while let Some(callbacks) = pages.next::<CallbackView>().await? {
        let without = callbacks.iter().filter(|callback| !callback.has_message);
        for callback in without {
            print_json(callback)?;
        }
    }
    Ok(())
}
