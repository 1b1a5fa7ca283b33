//! The trait of a type that holds the settings of a process.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::redact;
use super::secret_setting::SecretSetting;
use super::variable::NamedSection;

/// All settings of a process.
pub trait Config: Serialize + DeserializeOwned {
    /// The sections whose entries have names of the operator's choice.
    const NAMED_SECTIONS: &'static [NamedSection];

    /// The sections within sections that have fixed names: `telemetry.otlp`.
    const INNER_SECTIONS: &'static [&'static str] = &[];

    /// The settings that are secret, or may be by mistake.
    const SECRETS: &'static [SecretSetting] = &[];

    /// The sections in the order in which people read them.
    const ORDER: &'static [&'static str];

    /// Reports each bad value: its dotted key, and the reason.
    fn validate(&self, report: &mut dyn FnMut(&str, String));

    /// The files that the settings name. A change of their content counts as a change of settings.
    fn files(&self) -> Vec<&Path>;

    /// The effective settings as TOML that can be loaded again, secrets masked as `***`.
    /// [`Loaded::to_toml_redacted`](super::Loaded::to_toml_redacted) shows where they stand.
    fn to_toml_redacted(&self) -> String {
        let (named, inner) = (Self::NAMED_SECTIONS, Self::INNER_SECTIONS);
        redact::to_toml(self, named, inner, Self::ORDER, &[])
    }
}
