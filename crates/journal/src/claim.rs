//! Which request was the first to bear an idempotency key?

use uuid::Uuid;

/// A wish to be the one request of a key. Keys belong to an app and are kept for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The caller's app.
    pub app_id: String,
    /// The caller's key.
    pub key: String,
    /// The id that the request gets if it is the first.
    pub request_id: Uuid,
    /// SHA-256 of the body's bytes.
    pub body_hash: [u8; 32],
    /// Now, Unix ms.
    pub now: u64,
    /// Until this moment (Unix ms) nobody else may publish under the claim.
    pub lease_until: u64,
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Publish under this id, which is the first one's where its publish died; then confirm or
    /// release. The lease is yours.
    Yours(Uuid),
    /// Another request is publishing under this id right now; ask again.
    Pending(Uuid),
    /// The first one's message is confirmed: answer with its id.
    Confirmed(Uuid),
    /// The key was used with another body.
    Conflict,
}
