//! The paths of the pages.

pub(super) const FIRST_PAGE: &str = "/console/";
pub(super) const SIGN_IN: &str = "/console/sign-in";
pub(super) const LANGUAGE: &str = "/console/language";
pub(super) const LIVE: &str = "/console/live";
pub(super) const LIVE_EVENTS: &str = "/console/live/events";
pub(super) const TARGETS: &str = "/console/targets";
pub(super) const CALLBACKS: &str = "/console/callbacks";
pub(super) const DEAD_LETTERS: &str = "/console/dead-letters";
pub(super) const PAUSES: &str = "/console/pauses";
pub(super) const AUDIT: &str = "/console/audit";
pub(super) const TARGET: &str = "/console/targets/one";
pub(super) const WAITING: &str = "/console/waiting";
pub(super) const DEAD_LETTER_GROUPS: &str = "/console/dead-letters/groups";
pub(super) const BULK: &str = "/console/bulk";
pub(super) const OPERATIONS: &str = "/console/operations";
pub(super) const APPS: &str = "/console/apps";
pub(super) const SETTINGS: &str = "/console/settings";
const SIGN_OUT: &str = "/console/sign-out";

/// Whether a page is for those who have not signed in, too.
pub(super) fn needs_no_sign_in(path: &str) -> bool {
    matches!(path, SIGN_IN | SIGN_OUT | LANGUAGE)
}
