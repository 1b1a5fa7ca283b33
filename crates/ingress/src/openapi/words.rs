//! The two languages of the document.

use contract::Language;

/// Chooses between the two languages.
#[derive(Clone, Copy)]
pub(super) struct DocumentWords(pub(super) Language);

impl DocumentWords {
    pub(super) fn say(self, english: &'static str, chinese: &'static str) -> &'static str {
        match self.0 {
            Language::English => english,
            Language::Chinese => chinese,
        }
    }
}
