//! `ringback callback retry-now`, `cancel` and `replay`, `dead-letters replay` and `discard`,
//! `expedite` and `erase`.

use runtime::clock::now_ms;
use serde_json::{Map, Value, json};

use super::args::{BulkArgs, CallbackBulkArgs, EraseArgs, ExpediteArgs, FilterArgs};
use super::bulk::{self, BulkPlan, StartedAt};
use super::bulk_report::BulkOperation;
use super::client::AdminClient;
use super::error::CliError;
use crate::config::AdminConfig;

/// `ringback callback retry-now`, `cancel` and `replay`
pub(super) async fn run(
    operation: BulkOperation,
    args: CallbackBulkArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    let mut filter = filter(&args.filter)?;
    if let Some(status) = args.status {
        filter.insert("status".to_owned(), json!(status));
    }
    let client = AdminClient::new(args.step.api.admin.clone(), config)?;
    let plan = BulkPlan {
        operation,
        body: selecting(args.ids.is_empty(), filter),
        ids: client.whole_ids(args.ids).await?,
        first: Map::new(),
        started_at: StartedAt::Filter,
    };
    bulk::run(plan, args.step, client).await
}

/// `ringback dead-letters replay` and `discard`
pub(super) async fn dead_letters(
    operation: BulkOperation,
    args: BulkArgs,
    config: &AdminConfig,
) -> Result<(), CliError> {
    let filter = filter(&args.filter)?;
    let client = AdminClient::new(args.step.api.admin.clone(), config)?;
    let plan = BulkPlan {
        operation,
        body: selecting(args.ids.is_empty(), filter),
        ids: client.whole_ids(args.ids).await?,
        first: Map::new(),
        started_at: StartedAt::Filter,
    };
    bulk::run(plan, args.step, client).await
}

/// `ringback expedite`
pub(super) async fn expedite(args: ExpediteArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.step.api.admin.clone(), config)?;
    let parameter = match args.callee_or_url.contains("://") {
        true => "target",
        false => "callee_no",
    };
    let mut body = Map::new();
    body.insert(parameter.to_owned(), json!(args.callee_or_url));
    body.insert("probe".to_owned(), json!(false));
    let mut first = Map::new();
    first.insert("probe".to_owned(), json!(true));
    let plan = BulkPlan {
        operation: BulkOperation::Expedite,
        ids: Vec::new(),
        body,
        first,
        started_at: StartedAt::Body,
    };
    bulk::run(plan, args.step, client).await
}

/// `ringback erase`
pub(super) async fn erase(args: EraseArgs, config: &AdminConfig) -> Result<(), CliError> {
    let client = AdminClient::new(args.step.api.admin.clone(), config)?;
    let app = args.app.map(|app| ("app_id".to_owned(), json!(app)));
    let mut body = selecting(args.ids.is_empty(), app.into_iter().collect());
    body.insert("cancel".to_owned(), json!(args.cancel));
    let plan = BulkPlan {
        operation: BulkOperation::Erase,
        ids: client.whole_ids(args.ids).await?,
        body,
        first: Map::new(),
        started_at: StartedAt::None,
    };
    bulk::run(plan, args.step, client).await
}

/// A filter, unless ids select.
fn selecting(by_filter: bool, filter: Map<String, Value>) -> Map<String, Value> {
    let mut body = Map::new();
    if by_filter {
        body.insert("filter".to_owned(), Value::Object(filter));
    }
    body
}

/// The conditions as a filter of the API.
fn filter(args: &FilterArgs) -> Result<Map<String, Value>, CliError> {
    let parameters = args.parameters(now_ms()).map_err(CliError::Failed)?;
    let members = parameters.into_iter();
    Ok(members
        .map(|(key, value)| (key.to_owned(), Value::String(value)))
        .collect())
}
