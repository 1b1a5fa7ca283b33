//! Prints what all processes say: a table, who has not answered, and warnings.

use serde::Serialize;

use super::error::CliError;
use super::list::print_items;
use super::stdout::print_line;
use crate::api::process_view::SeenPage;

/// Prints one page; `first` of the list. Warnings follow a table.
pub(super) fn print_seen<T: Serialize>(
    seen: &SeenPage<T>,
    as_json: bool,
    first: bool,
    table: impl Fn(&[T]) -> String,
    none: &str,
) -> Result<(), CliError> {
    print_items(&seen.page.items, as_json, first, table, none)?;
    if as_json {
        return Ok(());
    }
    for warning in &seen.warnings {
        print_line(&format!("! {warning}"))?;
    }
    Ok(())
}
