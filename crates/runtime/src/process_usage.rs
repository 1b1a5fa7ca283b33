//! What the process uses of its machine, as Linux tells it. What cannot be read is `None`.

use std::fs;
use std::path::Path;

use crate::open_files;

/// The limit of memory of a container: cgroup v2, then v1.
const MEMORY_LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];
/// A limit above this is none: cgroup v1 writes "none" as a number near 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// Memory and open files of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    /// Resident memory, in bytes.
    pub resident_bytes: Option<u64>,
    /// How much it may be: the limit of its container, or else the memory of the machine.
    pub memory_limit: Option<u64>,
    /// How many files are open, connections included.
    pub open_files: Option<u64>,
    /// How many may be.
    pub open_files_limit: u64,
}

impl ProcessUsage {
    /// Reads the figures. It blocks for a moment.
    #[must_use]
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let status = read("/proc/self/status");
        let files = fs::read_dir(Path::new("/proc/self/fd")).ok();
        let limits = MEMORY_LIMITS.into_iter().filter_map(read);
        let container = limits.filter_map(|text| limit(&text)).min();
        let machine = read("/proc/meminfo").and_then(|text| kilobytes(&text, "MemTotal:"));
        Self {
            resident_bytes: status.and_then(|text| kilobytes(&text, "VmRSS:")),
            memory_limit: container.into_iter().chain(machine).min(),
            // One of them is the directory itself.
            open_files: files.map(|files| files.count().saturating_sub(1) as u64),
            open_files_limit: open_files::limit(),
        }
    }
}

fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

/// The value of a line such as `VmRSS:  1234 kB`, in bytes.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_system_are_read_in_bytes() {
        let status = "Name:\tringback\nVmPeak:\t 9 kB\nVmRSS:\t   1234 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(1_263_616));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("536870912\n"), Some(536_870_912));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_uses_less_than_it_may() {
        let usage = ProcessUsage::read();
        assert!(usage.resident_bytes > Some(1_000_000), "{usage:?}");
        assert!(usage.resident_bytes < usage.memory_limit, "{usage:?}");
        assert!(usage.open_files > Some(0), "{usage:?}");
        assert!(usage.open_files < Some(usage.open_files_limit), "{usage:?}");
    }
}
