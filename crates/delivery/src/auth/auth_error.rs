//! Why a request is rejected.

/// Why a request is rejected. The caller learns only whether it was authenticated; the rest is for
/// the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// There is no credential.
    Missing,
    /// A credential is given, but cannot be read as one.
    Malformed,
    /// No app has this key; or the app is unknown, or none of its secrets made this signature.
    Wrong,
    /// The signature's timestamp is outside the tolerance.
    Stale,
    /// The request was accepted before.
    Replayed,
    /// The app is disabled.
    Disabled,
    /// The body names another app than the credential.
    OtherApp,
    /// A web page of another origin sent it, where callers need no credential.
    ForeignOrigin,
}

impl AuthError {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::Malformed,
        Self::Wrong,
        Self::Stale,
        Self::Replayed,
        Self::Disabled,
        Self::OtherApp,
        Self::ForeignOrigin,
    ];

    /// A name for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Disabled => "disabled",
            Self::OtherApp => "other_app",
            Self::ForeignOrigin => "foreign_origin",
        }
    }

    /// Whether another credential would not help: then the answer is 403, otherwise 401.
    #[must_use]
    pub const fn is_forbidden(self) -> bool {
        match self {
            Self::Disabled | Self::OtherApp | Self::ForeignOrigin => true,
            Self::Missing | Self::Malformed | Self::Wrong | Self::Stale | Self::Replayed => false,
        }
    }
}
