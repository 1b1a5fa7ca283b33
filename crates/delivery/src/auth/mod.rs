//! Authentication of callers.
//!
//! Each caller is an *app*. A request proves its app by a key or by a signature; a signed request
//! is accepted once. An unknown app and a wrong key get the same answer after the same time.
//!
//! - `caller_registry/`: the registered apps, and the check of a request. Start here.
//! - `auth_error.rs`: why a request is rejected.
//! - `keys.rs`: hashes of keys, and signing secrets.
//! - `hmac.rs`: signatures as in Standard Webhooks.
//! - `replay_cache.rs`: the ids of signed requests that were accepted.

mod auth_error;
mod caller_registry;
pub(crate) mod hmac;
pub(crate) mod keys;
mod replay_cache;

pub use auth_error::AuthError;
pub use caller_registry::{
    AuthMode, CallerRegistry, CallerRegistryError, RegisteredApp, bearer_token,
};
pub use hmac::SignatureHeaders;
pub use keys::{KeyHash, MAX_CREDENTIALS, Secret, SecretError};
pub use replay_cache::{ReplayCache, ReplayError};
