//! `ringback openapi`: prints the OpenAPI document of an API.

use std::io::{self, Write as _};

use crate::error::CommandError;
use crate::lang::Lang;

/// Arguments of `ringback openapi`.
#[derive(Debug, clap::Args)]
pub(super) struct OpenApiArgs {
    /// Whose API.
    #[arg(value_enum)]
    api: Api,
    /// The language of the descriptions.
    #[arg(long, value_enum, default_value = "en")]
    lang: Lang,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Api {
    /// `POST /api/callback`, and the query and the cancellation.
    Callers,
    /// `/admin/v1`.
    Operators,
}

/// Prints the document.
///
/// # Errors
/// When the output cannot be written.
pub(super) fn run(args: &OpenApiArgs) -> Result<(), CommandError> {
    let document = match (args.api, args.lang) {
        (Api::Callers, Lang::En) => ingress::openapi::english(),
        (Api::Callers, Lang::Zh) => ingress::openapi::chinese(),
        (Api::Operators, Lang::En) => ::admin::openapi::english(),
        (Api::Operators, Lang::Zh) => ::admin::openapi::chinese(),
    };
    Ok(io::stdout().write_all(&document)?)
}
