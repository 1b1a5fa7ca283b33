//! The two languages of the document.

use contract::Language;

/// Chooses between them.
pub(super) const fn say<'a>(language: Language, english: &'a str, chinese: &'a str) -> &'a str {
    match language {
        Language::English => english,
        Language::Chinese => chinese,
    }
}
