//! Prints lists page by page.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::PageReader;
use super::error::CliError;
use super::stdout::{print_json, print_line};

/// Prints the items of all pages: as JSON, one per line, or as tables.
pub(super) async fn print_pages<T: Serialize + DeserializeOwned>(
    pages: &mut PageReader<'_>,
    as_json: bool,
    table: fn(&[T]) -> String,
) -> Result<(), CliError> {
    let mut first = true;
    while let Some(items) = pages.next::<T>().await? {
        print_items(&items, as_json, first, table)?;
        first = false;
    }
    Ok(())
}

/// Prints one page. An empty page is shown (as a header) only if it is the first one.
pub(super) fn print_items<T: Serialize>(
    items: &[T],
    as_json: bool,
    first: bool,
    table: impl Fn(&[T]) -> String,
) -> Result<(), CliError> {
    if as_json {
        items.iter().try_for_each(print_json)?;
    } else if first || !items.is_empty() {
        print_line(&table(items))?;
    }
    Ok(())
}
