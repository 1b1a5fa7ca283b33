//! The route of a callback: where to call, and how.
//!
//! - `route.rs`: the destination and rules of one attempt
//! - `delivery_policy/`: the snapshot of the settings from which routes are made
//! - `callee_profile.rs`: the policy of one registered callee
//! - `success_rule.rs`: which 2xx answers are a success
//! - `signing.rs`: signing secrets

mod callee_profile;
pub(crate) mod delivery_policy;
pub(crate) mod route;
mod signing;
pub(crate) mod success_rule;
