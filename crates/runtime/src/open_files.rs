//! Raises the process's limit of open files.

/// Raises the soft limit of open files to the hard one, and returns the limit in force: many systems
/// start a process with 1,024, and each connection is a file.
pub fn raise_limit() -> u64 {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            rlimit::Resource::NOFILE.get_soft().unwrap_or(1_024)
        }
    }
}
