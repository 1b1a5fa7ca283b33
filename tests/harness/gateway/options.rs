//! Options of a test's gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Options of a test's gateway.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// How many dispatchers to start. The embedded store always runs as one process.
    pub dispatchers: usize,
    /// `RINGBACK__RETRY__SCHEDULE`.
    pub schedule: String,
    /// `RINGBACK__GUARD__ALLOW`.
    pub allow: String,
    /// Whether to keep a journal in a database of its own. The embedded store always has one.
    pub journal: bool,
    /// More variables for all processes; they override the ones above.
    pub environment: BTreeMap<String, String>,
    /// More variables for the ingress alone (or the one process); they override all others.
    pub ingress_environment: BTreeMap<String, String>,
    /// Variables that no process gets, even if they are set above.
    pub absent: BTreeSet<String>,
    /// How many files each process may have open; `None`: as many as the test itself.
    pub open_files: Option<u32>,
    /// The program to run; `None`: the one under test.
    pub binary: Option<PathBuf>,
}

impl Default for GatewayOptions {
    /// One dispatcher, retries after 1 s, 1 s and 2 s, targets on 127.0.0.0/8 allowed.
    fn default() -> Self {
        Self {
            dispatchers: 1,
            schedule: "1s,1s,2s".to_owned(),
            allow: "127.0.0.0/8".to_owned(),
            journal: false,
            environment: BTreeMap::new(),
            ingress_environment: BTreeMap::new(),
            absent: BTreeSet::new(),
            open_files: None,
            binary: None,
        }
    }
}

impl GatewayOptions {
    /// The same with a journal, for either broker.
    #[must_use]
    pub fn with_journal(mut self) -> Self {
        self.journal = true;
        self
    }

    /// The same with one more variable, for instance `RINGBACK__DISPATCHER__FIRST_CONCURRENCY`.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.environment.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same with one more variable for the ingress alone.
    #[must_use]
    pub fn with_ingress(mut self, key: &str, value: &str) -> Self {
        let entry = (key.to_owned(), value.to_owned());
        self.ingress_environment.extend([entry]);
        self
    }

    /// The same without this variable, so that the settings file decides.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.absent.insert(key.to_owned());
        self
    }
}
