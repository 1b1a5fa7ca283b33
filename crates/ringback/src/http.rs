//! HTTP requests of commands.

use admin::cli::http::{error_reason, shown_url};
use reqwest::{Client, Response};
use url::Url;

use crate::error::CommandError;

/// Sends a GET request. User and password of the URL become basic authentication.
///
/// # Errors
/// When there is no response; the sentence names the address, without password and query.
pub(crate) async fn get(client: &Client, url: &Url) -> Result<Response, CommandError> {
    client.get(url.clone()).send().await.map_err(|error| {
        let reason = error_reason(&error);
        CommandError::Failed(format!("{} does not answer: {reason}", shown_url(url)))
    })
}
