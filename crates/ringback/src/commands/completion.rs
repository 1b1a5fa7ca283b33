//! `ringback completion SHELL` and `ringback man DIR`: what the command line says of itself.

use std::fs;
use std::path::Path;

use admin::cli::stdout::print_line;
use clap::Command;
use clap_complete::Shell;

use crate::error::CommandError;

/// Prints the completion script of a shell.
///
/// # Errors
/// When it cannot be printed.
pub(super) fn completion(shell: Shell, mut cli: Command) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli, "ringback", &mut script);
    Ok(print_line(String::from_utf8_lossy(&script).trim_end())?)
}

/// Writes a manual page for the binary and for each command into `directory`, which is created if it
/// is missing.
///
/// # Errors
/// When a page cannot be written; the sentence names the directory.
pub(super) fn man(directory: &Path, cli: Command) -> Result<(), CommandError> {
    let written =
        fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(cli, directory));
    written.map_err(|error| {
        let path = directory.display();
        CommandError::Failed(format!(
            "the manual pages cannot be written to {path}: {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::commands::Cli;

    /// The words of every command: `dead-letters list`.
    fn commands() -> BTreeSet<String> {
        fn add(command: &Command, words: &str, found: &mut BTreeSet<String>) {
            for inner in command
                .get_subcommands()
                .filter(|it| it.get_name() != "help")
            {
                let words = format!("{words} {}", inner.get_name());
                found.insert(words.trim().to_owned());
                add(inner, &words, found);
            }
        }
        let mut found = BTreeSet::new();
        add(&Cli::command(), "", &mut found);
        assert!(found.len() > 30, "{found:?}");
        assert!(found.contains("dead-letters list"));
        found
    }

    #[test]
    fn the_script_of_every_shell_names_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ringback", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in commands() {
                for word in command.split(' ') {
                    assert!(script.contains(word), "{shell}: {command}");
                }
            }
        }
    }

    #[test]
    fn there_is_a_manual_page_for_every_command() {
        let name = format!("ringback-man-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        man(&directory, Cli::command()).unwrap();
        let page = |name: &str| fs::read_to_string(directory.join(format!("{name}.1")));
        let overview = page("ringback").unwrap();
        for command in commands() {
            let text = page(&format!("ringback-{}", command.replace(' ', "-")));
            let text = text.unwrap_or_else(|error| panic!("{command}: {error}"));
            assert!(text.contains(".SH DESCRIPTION"), "{command}: {text}");
            if !command.contains(' ') {
                let entry = format!("ringback\\-{}(1)", command.replace('-', "\\-"));
                assert!(overview.contains(&entry), "{entry} in {overview}");
            }
        }
        fs::remove_dir_all(&directory).unwrap();
        let file = directory.with_extension("file");
        fs::write(&file, "").unwrap();
        let sentence = man(&file, Cli::command()).unwrap_err().sentence();
        assert!(sentence.contains(&file.display().to_string()), "{sentence}");
        fs::remove_file(file).unwrap();
    }
}
