//! Where can a message be published?

use crate::Lane;
use std::time::Duration;

/// Where a message is published.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// The lane of first attempts, at once.
    First,
    /// The retry lane, after a delay.
    Later(Duration),
    /// The lane of records.
    Record,
    /// A lane that is not worked: dead letters and the like.
    Grave(Lane),
}
