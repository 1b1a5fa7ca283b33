//! The paths of the pages.

pub(super) const FIRST_PAGE: &str = "/console/";
pub(super) const SIGN_IN: &str = "/console/sign-in";
pub(super) const LANGUAGE: &str = "/console/language";
pub(super) const TARGETS: &str = "/console/targets";
pub(super) const CALLBACKS: &str = "/console/callbacks";
pub(super) const DEAD_LETTERS: &str = "/console/dead-letters";
pub(super) const PAUSES: &str = "/console/pauses";
pub(super) const AUDIT: &str = "/console/audit";
const SIGN_OUT: &str = "/console/sign-out";

/// Whether a page is for those who have not signed in, too.
pub(super) fn needs_no_sign_in(path: &str) -> bool {
    matches!(path, SIGN_IN | SIGN_OUT | LANGUAGE)
}
