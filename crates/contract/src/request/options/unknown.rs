//! The names in a request's `options` that the gateway does not know: probably misspelt.

/// How many names are shown.
const MAX_NAMES: usize = 8;
/// How many characters of a name are shown.
const MAX_NAME_CHARS: usize = 64;

/// The first unknown names, in the caller's order.
#[derive(Debug, Default)]
pub(crate) struct UnknownOptions {
    names: Vec<String>,
    /// How many more there are.
    more: usize,
}

impl UnknownOptions {
    /// Adds a name. It is kept as visible ASCII, whatever the caller wrote.
    pub(super) fn add(&mut self, name: &str) {
        if self.names.len() == MAX_NAMES {
            self.more += 1;
            return;
        }
        let visible = |char: char| match char.is_ascii_graphic() {
            true => char.to_string(),
            false => char.escape_unicode().to_string(),
        };
        let shown = name.chars().take(MAX_NAME_CHARS).map(visible);
        self.names.push(shown.collect());
    }

    /// The first of them.
    pub(crate) fn first(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// All of them, separated by commas. `None` if there are none.
    pub(crate) fn listed(&self) -> Option<String> {
        let names = self.names.join(", ");
        match (names.is_empty(), self.more) {
            (true, _) => None,
            (false, 0) => Some(names),
            (false, more) => Some(format!("{names} and {more} more")),
        }
    }
}
