//! The process's limit of open files, and how it is shared out: each connection is a file.
//!
//! - half: the listeners, see `http/limits.rs`
//! - three eighths: connections to targets
//! - the rest: the broker, the journal, the store, name servers, and what is open from the start

/// The limit that many systems start a process with.
const USUAL_LIMIT: u64 = 1_024;

/// Raises the soft limit of open files to the hard one, and returns the limit in force: many systems
/// start a process with 1,024, and each connection is a file.
pub fn raise_limit() -> u64 {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            limit()
        }
    }
}

/// How many connections to targets the process may have open.
#[must_use]
pub fn for_targets() -> usize {
    share_of_targets(limit())
}

pub(crate) fn limit() -> u64 {
    rlimit::Resource::NOFILE.get_soft().unwrap_or(USUAL_LIMIT)
}

fn share_of_targets(limit: u64) -> usize {
    usize::try_from(limit / 8 * 3).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_targets_have_three_eighths_of_the_files() {
        for (limit, targets) in [(4_096, 1_536), (1_024, 384), (256, 96), (1, 1)] {
            assert_eq!(share_of_targets(limit), targets, "{limit}");
        }
        assert!(share_of_targets(u64::MAX) > 1_000_000);
        assert!(for_targets() > 0);
    }
}
