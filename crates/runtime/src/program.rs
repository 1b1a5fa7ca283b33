//! How this program was called: hints name its commands as they can be typed.
//!
//! Sentences name a command in backquotes, as `` `ringback callback list` ``. What is printed for people
//! passes through [`as_called`]; JSON, and what other processes answer, keeps the plain name.

use std::borrow::Cow;
use std::ffi::OsString;
use std::sync::OnceLock;

/// The name of the program, where it is found on the `PATH`.
const PLAIN: &str = "ringback";

/// The path by which the program was called, quoted for a shell if that is needed; or its plain name.
#[must_use]
pub fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| name_of(std::env::args_os().next()))
}

/// The text with its commands as they can be typed: `` `ringback config` `` becomes
/// `` `target/release/ringback config` `` if the program was called by that path.
#[must_use]
pub fn as_called(text: &str) -> Cow<'_, str> {
    with_name(text, name())
}

fn name_of(argument: Option<OsString>) -> String {
    let path = argument.and_then(|argument| argument.into_string().ok());
    let path = path.filter(|path| path.contains(std::path::MAIN_SEPARATOR));
    let Some(path) = path else {
        return PLAIN.to_owned();
    };
    quoted(&path)
}

/// A path as a shell takes it: quoted if that is needed.
#[must_use]
pub fn quoted(path: &str) -> String {
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+@:".contains(char);
    match path.chars().all(is_plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', "'\\''")),
    }
}

fn with_name<'a>(text: &'a str, name: &str) -> Cow<'a, str> {
    const COMMAND: &str = "`ringback ";
    match name != PLAIN && text.contains(COMMAND) {
        true => Cow::Owned(text.replace(COMMAND, &format!("`{name} "))),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_path_by_which_the_program_was_called() {
        for (argument, name) in [
            (Some("target/release/ringback"), "target/release/ringback"),
            (Some("./ringback"), "./ringback"),
            (Some("/opt/乐居/ringback"), "/opt/乐居/ringback"),
            (Some("/opt/my tools/ringback"), "'/opt/my tools/ringback'"),
            (Some("/o'x/ringback"), "'/o'\\''x/ringback'"),
            // Found on the PATH.
            (Some("ringback"), "ringback"),
            (Some("rb"), "ringback"),
            (None, "ringback"),
        ] {
            assert_eq!(name_of(argument.map(OsString::from)), name, "{argument:?}");
        }
    }

    #[test]
    fn commands_in_backquotes_get_the_name_and_other_words_stay() {
        let text = "ringback is running: `ringback config` checks it, `ringback key` makes one";
        assert_eq!(
            with_name(text, "./ringback"),
            "ringback is running: `./ringback config` checks it, `./ringback key` makes one"
        );
        assert!(matches!(with_name(text, "ringback"), Cow::Borrowed(same) if same == text));
        assert!(matches!(
            with_name("nothing", "./ringback"),
            Cow::Borrowed("nothing")
        ));
    }
}
