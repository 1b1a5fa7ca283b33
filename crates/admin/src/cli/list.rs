//! Prints lists page by page.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::PageReader;
use super::error::CliError;
use super::stdout::{print_json, print_line};

/// Prints the items of all pages: as JSON, one per line, or as tables. Without items: `none`.
pub(super) async fn print_pages<T: Serialize + DeserializeOwned>(
    pages: &mut PageReader<'_>,
    as_json: bool,
    table: fn(&[T]) -> String,
    none: &str,
) -> Result<(), CliError> {
    let mut first = true;
    while let Some(items) = pages.next::<T>().await? {
        print_items(&items, as_json, first, table, none)?;
        first = false;
    }
    Ok(())
}

/// Prints one page. An empty one says `none`, if it is the first of the list; as JSON it is empty.
pub(super) fn print_items<T: Serialize>(
    items: &[T],
    as_json: bool,
    first: bool,
    table: impl Fn(&[T]) -> String,
    none: &str,
) -> Result<(), CliError> {
    match (as_json, items) {
        (true, items) => items.iter().try_for_each(print_json)?,
        (false, []) if first => print_line(none)?,
        (false, []) => {}
        (false, items) => print_line(&table(items))?,
    }
    Ok(())
}
