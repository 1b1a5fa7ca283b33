//! Acts on many callbacks: 30 % of the callbacks of a run have failed and wait. Each command is killed in
//! the middle, and the same command finishes the rest.
//!
//! - `waiting.rs`: retry now, cancel, expedite
//! - `ended.rs`: replay, erase
//! - `recover.rs`: a broker that lost its messages
//! - `killed.rs`: the process that was asked is killed

mod ended;
mod killed;
mod recover;
mod waiting;

use std::time::Duration;

use serde_json::{Value, json};
use tests::callers::{CallerAnswer, Callers};
use tests::ledger::Audit;
use tests::scenario::Scenario;
use tests::{BrokerUnderTest, GatewayOptions, Process, eventually};

/// How many callbacks a run has, a multiple of ten. The variable sets it, for a release build.
const CALLBACKS: u64 = 600;
const VARIABLE: &str = "RINGBACK_E2E_BULK_CALLBACKS";

fn callbacks() -> u64 {
    let set = std::env::var(VARIABLE).ok();
    set.map_or(CALLBACKS, |text| text.parse().unwrap())
}

/// Upper bound for something that only the machine's load and the number of callbacks delay.
fn in_time() -> Duration {
    Duration::from_secs(90 + callbacks() / 100)
}

/// A gateway with its callbacks.
struct BulkRun {
    scenario: Scenario<'static>,
    answers: Vec<CallerAnswer>,
}

/// First attempts at once, second ones long after the test.
fn options() -> GatewayOptions {
    let options = GatewayOptions {
        schedule: "900s".to_owned(),
        ..GatewayOptions::default()
    };
    options.with_journal()
}

impl BulkRun {
    /// Sends all callbacks: of ten, three to this path, and seven to `/ok`. Waits until those have
    /// failed, which the path must do once.
    async fn start(path: &str, options: GatewayOptions) -> Self {
        let run = Self::send(&[["/ok"; 7].as_slice(), &[path; 3]].concat(), options).await;
        run.waiting(run.failing()).await;
        run
    }

    /// Sends all callbacks, to these paths in turn.
    async fn send(paths: &[&str], options: GatewayOptions) -> Self {
        let mut run = Self::empty(options).await;
        run.post(paths, callbacks()).await;
        run
    }

    async fn empty(options: GatewayOptions) -> Self {
        Self {
            scenario: Scenario::start(BrokerUnderTest::shared().await, options).await,
            answers: Vec::new(),
        }
    }

    async fn post(&mut self, paths: &[&str], count: u64) {
        let callee = &self.scenario.callee;
        let targets: Vec<String> = paths.iter().map(|it| callee.url(it)).collect();
        let callers = Callers::start(self.scenario.ingress.address, &targets, 16, count);
        let answers = callers.done().await;
        assert!(answers.iter().all(CallerAnswer::accepted));
        self.answers.extend(answers);
    }

    fn failing(&self) -> u64 {
        callbacks() * 3 / 10
    }

    /// How many a request like this would change.
    async fn matched(&self, path: &str, mut body: Value) -> u64 {
        body["dry_run"] = json!(true);
        let counted = self.scenario.admin(path, Some(&body)).await;
        counted["matched"].as_u64().unwrap()
    }

    /// How many wait with their message.
    async fn retryable(&self) -> u64 {
        let path = "/admin/v1/callbacks/retry-now";
        self.matched(path, json!({"filter": {}})).await
    }

    async fn waiting(&self, expected: u64) {
        eventually("callbacks that wait", in_time(), async || {
            let waiting = self.retryable().await;
            (waiting == expected)
                .then_some(())
                .ok_or(format!("{waiting} of {expected}"))
        })
        .await;
    }

    /// Starts `ringback` with these words.
    fn command(&self, words: &[&str]) -> Process {
        let admin = self.scenario.admin_url();
        let words = [words, &["--admin", &admin]].concat();
        Process::ringback(&words, [("USER", "night-shift")])
    }

    /// Runs `ringback` with these words: whether it succeeded, and its output.
    async fn run(&self, words: &[&str]) -> (bool, String) {
        let mut process = self.command(words);
        let ended = process.wait_exit(in_time()).await;
        (ended.success(), process.log())
    }

    /// Runs it, and it succeeds.
    async fn done(&self, words: &[&str]) -> String {
        let (succeeded, output) = self.run(words).await;
        assert!(succeeded, "{output}");
        output
    }

    /// Starts the command at a pace of ten seconds, and kills it when this many are left of those that
    /// it would change.
    async fn killed_in_the_middle(&self, words: &[&str], (path, body): (&str, Value)) {
        let before = self.matched(path, body.clone()).await;
        let rate = (before / 10).max(1).to_string();
        let mut process = self.command(&[words, &["--rate", &rate]].concat());
        eventually("the middle of the command", in_time(), async || {
            let left = self.matched(path, body.clone()).await;
            (left < before).then_some(()).ok_or(format!("{left} left"))
        })
        .await;
        process.kill9();
        let left = self.matched(path, body).await;
        assert!(left > 0 && left < before, "{left} of {before}");
    }

    async fn all_delivered(&self) {
        self.scenario.all_delivered(&self.answers).await;
    }

    /// Everything that was accepted is found somewhere, under its id.
    async fn audit(&self) -> Audit {
        let ledger = self.scenario.ledger(&self.answers).await;
        ledger.audit().sound()
    }

    /// How many callbacks the audit log says were changed, and by how many commands.
    async fn audited(&self, action: &str) -> (u64, usize) {
        let log = self
            .scenario
            .admin("/admin/v1/audit?limit=1000", None)
            .await;
        let entries = log["items"].as_array().unwrap().iter();
        let counts: Vec<u64> = entries
            .filter(|entry| entry["action"] == action)
            .map(|entry| entry["count"].as_u64().unwrap())
            .collect();
        (counts.iter().sum(), counts.len())
    }

    fn count(&self) -> usize {
        usize::try_from(callbacks()).unwrap()
    }
}
