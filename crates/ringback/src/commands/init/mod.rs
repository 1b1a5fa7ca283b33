//! `ringback init`: a settings file to begin with, all keys explained, and a first app.
//!
//! - `mod.rs`: the command
//! - `reference.rs`: the reference of the settings, read from its page
//! - `render.rs`: the file, from the reference, the defaults and what is chosen

mod reference;
mod render;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf, absolute};

use admin::cli::stdout::print_line;
use clap::Args;
use delivery::auth::Secret;
use runtime::random::secret_bytes;

use super::key::key_and_hash;
use crate::app::settings::Settings;
use crate::error::CommandError;
use render::Chosen;

/// The directory of the embedded store, beside the file.
const DATA_DIR: &str = "ringback-data";

/// What `ringback init` writes.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The file; an existing one is never overwritten.
    #[arg(value_name = "FILE", default_value = "ringback.toml")]
    file: PathBuf,
    /// The first app that may send callbacks.
    #[arg(long, value_name = "APP_ID", default_value = "demo")]
    app: String,
    /// For the roles on RabbitMQ, in place of `serve` on the embedded store: amqp://user:password@host
    #[arg(long, value_name = "URL")]
    broker_url: Option<String>,
    /// The journal of the roles: postgres://user:password@host/database
    #[arg(long, value_name = "URL", requires = "broker_url")]
    journal_url: Option<String>,
}

/// Writes the file, which its owner alone can read, and prints the app's key: it is stored nowhere.
///
/// # Errors
/// The file exists, cannot be written, or what was given cannot be used.
pub(super) fn run(args: &InitArgs) -> Result<(), CommandError> {
    let file = &args.file;
    let (key, hash) = key_and_hash(&secret_bytes::<32>()?);
    let signing_secret = Secret::text(&secret_bytes::<32>()?);
    let chosen = Chosen {
        app: &args.app,
        key_hash: &hash.to_string(),
        signing_secret: &signing_secret,
        data_dir: &data_dir_beside(file)?,
        broker_url: args.broker_url.as_deref(),
        journal_url: args.journal_url.as_deref(),
    };
    let text = render::settings_file(&chosen)?;
    create(file, &text)?;
    if let Err(error) = runtime::config::load::<Settings>(Some(file), std::iter::empty()) {
        std::fs::remove_file(file)?;
        return Err(error.into());
    }
    let shown = file.display();
    let roles: &[&str] = match args.broker_url {
        None => &["serve"],
        Some(_) => &["ingress", "dispatcher"],
    };
    let quoted = runtime::program::quoted(&shown.to_string());
    let starts: Vec<String> = roles
        .iter()
        .map(|role| format!("\nStart:              `ringback {role} --config {quoted}`"))
        .collect();
    print_line(&format!(
        "{shown} is written; you alone can read it.\n\
         The key of the app {}, for its bearer only; the file has its hash:\n\n  {key}\n\n\
         Check the settings: `ringback config --config {quoted}`{}\n\
         Send a callback:    `ringback send https://YOUR-TARGET/ --app {} --key KEY`",
        args.app,
        starts.concat(),
        args.app
    ))?;
    Ok(())
}

/// Writes a new file that its owner alone can read.
fn create(file: &Path, text: &str) -> Result<(), CommandError> {
    let named = |error: io::Error| {
        let shown = file.display();
        CommandError::Failed(match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{shown} exists already, and is left as it is: name another file")
            }
            _ => format!("{shown} cannot be written: {error}"),
        })
    };
    let mut options = OpenOptions::new();
    let mut created = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(named)?;
    created.write_all(text.as_bytes()).map_err(named)?;
    created.sync_all().map_err(named)
}

/// The directory of the embedded store, wherever the program is started.
fn data_dir_beside(file: &Path) -> io::Result<String> {
    let file = absolute(file)?;
    let directory = file.parent().unwrap_or(Path::new("/")).join(DATA_DIR);
    Ok(directory.display().to_string())
}
