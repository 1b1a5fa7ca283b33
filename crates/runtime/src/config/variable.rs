//! The environment variables of settings: `RINGBACK__SECTION__KEY`.

/// The prefix of every environment variable that is a setting.
pub(super) const ENV_PREFIX: &str = "RINGBACK__";

/// Separates the parts of such a variable's name.
pub(super) const ENV_SEPARATOR: &str = "__";

/// A section that holds sections under names of the operator's choice, such as `callees`. The names
/// keep their case, in the environment too.
#[derive(Debug, Clone, Copy)]
pub struct NamedSection {
    /// The dotted path, for instance `admin.tokens`.
    pub path: &'static str,
    /// What a name stands for, in error messages: `NUMBER`.
    pub placeholder: &'static str,
}

/// The environment variable that sets a dotted key.
pub(super) fn variable_of(key: &str, named: &[NamedSection]) -> String {
    let plain = |key: &str| key.to_uppercase().replace('.', ENV_SEPARATOR);
    let in_named_section = named.iter().find_map(|section| {
        let rest = key.strip_prefix(section.path)?.strip_prefix('.')?;
        Some((section.path, rest.rsplit_once('.')?))
    });
    match in_named_section {
        Some((section, (name, last))) => {
            let (section, last) = (plain(section), plain(last));
            format!("{ENV_PREFIX}{section}{ENV_SEPARATOR}{name}{ENV_SEPARATOR}{last}")
        }
        None => format!("{ENV_PREFIX}{}", plain(key)),
    }
}
