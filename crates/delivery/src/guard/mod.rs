//! The address guard, also known as the SSRF guard: which addresses may be called.
//!
//! It refuses every address that is not ordinary public unicast, unless an operator allows it. It
//! decides on addresses, not names: call it after name resolution, for every address, at every
//! attempt. It also refuses schemes and ports that an operator denies.
//!
//! - `policy.rs`: the guard. Start here.
//! - `app_guards.rs`: the default guard, and the guards of apps that have their own.
//! - `rule.rs`, `allowlist.rs`: rules for addresses and hosts, and lists of them.
//! - `candidate.rs`: what the guard decides on: an address, and how a URL leads to it.
//! - `ports.rs`: ranges of denied ports.
//! - `special_ranges.rs`: the ranges of addresses that are not public, with their sources.
//! - `embedded.rs`: the IPv4 addresses that an IPv6 address carries.
//! - `metadata.rs`: the clouds' metadata services, by address and by name.
//! - `refusal.rs`: the rules by which the guard refuses.
//! - `config.rs`: the settings section `guard`.

mod allowlist;
mod app_guards;
mod candidate;
mod config;
mod embedded;
mod metadata;
mod policy;
mod ports;
pub(crate) mod refusal;
mod rule;
mod special_ranges;

#[cfg(test)]
mod tests;

pub use allowlist::AllowList;
pub use app_guards::Guards;
pub use config::GuardConfig;
pub use policy::{AdmittedBy, Guard};
pub use ports::{PortRange, PortRangeError};
pub use refusal::Refusal;
pub use rule::{AddressRule, AddressRuleError};
