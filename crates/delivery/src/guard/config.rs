//! The settings section `guard`.

use serde::{Deserialize, Serialize};

use super::policy::Guard;
use super::ports::PortRange;
use super::rule::AddressRule;

/// Which URLs of callers may be called.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// What is allowed besides the public internet: networks (`10.0.0.0/8`), addresses, addresses
    /// with a port, hosts (`hooks.internal`, `*.internal`).
    pub allow: Vec<AddressRule>,
    /// Whether `http` is refused.
    pub https_only: bool,
    /// Ports that are denied on all addresses: `25`, `6000-6063`.
    pub denied_ports: Vec<PortRange>,
}

impl GuardConfig {
    /// The guard.
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard::new(self.allow.clone())
            .https_only(self.https_only)
            .denied_ports(self.denied_ports.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::GuardConfig;

    #[test]
    fn rules_and_ports_are_checked_when_they_are_read() {
        let json = r#"{"allow":["10.0.0.0/8","*.internal"],"denied_ports":[25,"6000-6063"]}"#;
        let config: GuardConfig = serde_json::from_str(json).unwrap();
        assert_eq!(
            serde_json::to_string(&config).unwrap(),
            r#"{"allow":["10.0.0.0/8","*.internal"],"https_only":false,"denied_ports":["25","6000-6063"]}"#
        );
        for (json, reason) in [
            (r#"{"denied_ports":[0]}"#, "\"0\" is neither a port"),
            (r#"{"denied_ports":[65536]}"#, "\"65536\" is neither a port"),
            (r#"{"allow":["10.1"]}"#, "\"10.1\" is not a range"),
            (r#"{"closed_ports":[]}"#, "unknown field"),
        ] {
            let error = serde_json::from_str::<GuardConfig>(json).unwrap_err();
            assert!(error.to_string().starts_with(reason), "{error}");
        }
    }
}
