//! Who runs the command, and on which machine.

/// Holds the machine's name on Linux (in a container, the container's).
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The user and the machine, for the audit log.
pub(super) fn user_at_host() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|user| !user.is_empty());
    let user = user.as_deref().unwrap_or("unknown");
    format!("{user}@{}", host_name())
}

/// The name of this machine.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string(HOST_NAME_FILE).or_else(|_| std::env::var("HOSTNAME"));
    name.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_user_is_named_with_the_machine() {
        let name = super::user_at_host();
        let (user, host) = name.split_once('@').unwrap();
        assert!(!user.is_empty() && !host.is_empty(), "{name}");
    }
}
