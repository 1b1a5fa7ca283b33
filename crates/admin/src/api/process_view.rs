//! The JSON of what all processes say together: instances, targets, apps, holders of a callback.

use std::collections::BTreeMap;

use contract::control::{AttemptSeen, InstanceReport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::rfc3339;
use super::view::ItemsPage;
use crate::control::Silent;
use crate::doctor::said::{Said, say};

/// Who has answered, and who has not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SeenBy {
    /// How many processes have answered.
    pub(crate) answered: usize,
    /// Those that answered recently and have not answered now.
    pub(crate) silent: Vec<SilentView>,
    /// False: other processes could not be asked, and the figures are those of one process.
    pub(crate) complete: bool,
}

/// A process that has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SilentView {
    /// For instance `dispatcher host:4711`.
    pub(crate) process: String,
    /// How long ago it was heard, in seconds.
    pub(crate) heard_s_ago: u64,
}

/// A list of what processes say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeenPage<T> {
    #[serde(flatten)]
    pub(crate) page: ItemsPage<T>,
    pub(crate) seen_by: SeenBy,
    /// What an operator should know, in sentences.
    #[serde(default)]
    pub(crate) warnings: Vec<Said>,
}

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct InstanceView {
    pub(crate) instance: Uuid,
    pub(crate) role: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) version: String,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: u64,
    pub(crate) uptime_s: u64,
    /// Whether it has answered. If not, everything else is its last answer.
    pub(crate) answered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) heard_s_ago: Option<u64>,
    /// How far its clock is ahead of that of the process that was asked. Unknown of a silent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clock_offset_ms: Option<i64>,
    /// A hash of its settings, without secrets and without the addresses of its listeners.
    pub(crate) settings: String,
    /// The sections that differ from those of most processes of this role.
    pub(crate) settings_differ: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reload: Option<ReloadView>,
}

/// The last reload of a process's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReloadView {
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: u64,
    /// Why the new settings were refused; absent: they are in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
    /// The changed keys that need a restart.
    pub(crate) restart: Vec<String>,
}

/// What came of the command to reload, in one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReloadedView {
    pub(crate) instance: Uuid,
    pub(crate) role: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) outcome: ReloadOutcome,
    /// Why the new settings were refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
    /// The changed keys that need a restart.
    pub(crate) restart: Vec<String>,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReloadOutcome {
    /// The new settings are in force.
    Reloaded,
    /// The previous settings stay in force.
    Refused,
    /// The process has not said in time.
    Unknown,
}

/// A callee or target as all processes see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TargetView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    /// The name of the callee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    pub(crate) in_flight: u32,
    /// Waiting in memory for a permit.
    pub(crate) waiting: u32,
    /// How many calls may be in flight, in all processes; null: not known.
    #[serde(default)]
    pub(crate) slots: Option<u32>,
    /// An estimate of how many calls it takes a second; null: it was not called in the last five minutes.
    #[serde(default)]
    pub(crate) per_second: Option<f64>,
    pub(crate) last_5_min: CallsView,
    /// Since each of the processes knows the target.
    pub(crate) since_start: CallsView,
    /// Delivered calls among those that reached or should have reached the target, of the last five
    /// minutes; null without calls.
    pub(crate) success_ratio: Option<f64>,
    pub(crate) last_error: Option<LastErrorView>,
    /// The worst state among its apps and processes.
    pub(crate) breaker: String,
    /// For how many apps it is open or half open, in the process with the most.
    pub(crate) breaker_apps: u32,
    /// These apps, at most ten; of a callee none.
    #[serde(default)]
    pub(crate) breaker_app_ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) breaker_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) probe_in_s: Option<f64>,
    /// What remains of the target's `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_s: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) paused: bool,
    /// What the journal holds for it; null if that is unknown.
    pub(crate) unfinished: Option<UnfinishedView>,
}

/// Calls by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct CallsView {
    pub(crate) calls: u64,
    pub(crate) delivered: u64,
    /// Answers that are no delivery, by `4xx`, `3xx`, `5xx`, ..., `success_rule`.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// Without an answer, by `refused`, `timeout`, `dns`, `tls`, ...
    pub(crate) failed: BTreeMap<String, u64>,
    /// Attempts that made no call: an address refused by the guard, an error of our own.
    pub(crate) not_called: u64,
}

/// The last call that did not deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LastErrorView {
    pub(crate) outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: u64,
    /// The process that made the call.
    pub(crate) process: String,
}

/// Unfinished callbacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UnfinishedView {
    pub(crate) count: u64,
    /// There may be more.
    pub(crate) at_least: bool,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) oldest_accepted_at: Option<u64>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) next_attempt_at: Option<u64>,
}

/// One page of targets, and how many there are behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetsView {
    #[serde(flatten)]
    pub(crate) seen: SeenPage<TargetView>,
    pub(crate) others: OthersView,
}

/// What is not on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OthersView {
    /// At least so many: each process names those with the most alone.
    pub(crate) count: u64,
}

/// An app as all processes see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AppView {
    pub(crate) app_id: String,
    /// In the last minute.
    pub(crate) accepted: u64,
    /// In the last minute, for another reason than a limit.
    pub(crate) refused: u64,
    /// In the last minute, with 429.
    pub(crate) limited: u64,
    pub(crate) in_flight: u32,
    /// Callbacks neither delivered nor given up nor cancelled; null if that is unknown.
    pub(crate) unfinished: Option<u64>,
    /// Of these, with a time of the next attempt.
    pub(crate) waiting: Option<u64>,
}

/// A process that holds a callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct HolderView {
    pub(crate) process: String,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) since: u64,
    pub(crate) queue: String,
    pub(crate) attempt: u32,
    /// Whether its call is being made; if not, it waits for a permit or for its record.
    pub(crate) in_flight: bool,
}

/// The attempts that ended a moment ago.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AttemptsView {
    #[serde(flatten)]
    pub(crate) seen: SeenPage<AttemptEndView>,
    /// Whether there were more than a process remembers or answers.
    #[serde(default)]
    pub(crate) left_out: bool,
}

/// An attempt that has ended. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AttemptEndView {
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) ended_at: u64,
    pub(crate) request_id: Uuid,
    pub(crate) app_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    pub(crate) target: String,
    pub(crate) message_type: String,
    pub(crate) attempt: u32,
    pub(crate) outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
    pub(crate) duration_ms: u64,
    /// What follows: `delivered`, `retry`, `deferred` or `dead_lettered`.
    pub(crate) verdict: String,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) next_attempt_at: Option<u64>,
    pub(crate) process: String,
    pub(crate) instance: Uuid,
    /// Its number in its process: with the instance it names the attempt.
    pub(crate) sequence: u64,
}

impl AttemptEndView {
    /// The attempt of this process.
    pub(super) fn of(attempt: AttemptSeen, instance: Uuid, process: &str) -> Self {
        Self {
            ended_at: attempt.ended_at,
            request_id: attempt.request_id,
            app_id: attempt.app_id,
            callee_no: attempt.callee_no,
            target: attempt.target,
            message_type: attempt.message_type,
            attempt: attempt.attempt,
            outcome: attempt.outcome,
            http_status: attempt.http_status,
            cause: attempt.cause,
            duration_ms: attempt.duration_ms,
            verdict: attempt.verdict,
            next_attempt_at: attempt.next_attempt_at,
            process: process.to_owned(),
            instance,
            sequence: attempt.sequence,
        }
    }
}

impl SeenBy {
    pub(super) fn of(answered: usize, silent: &[Silent], complete: bool) -> Self {
        let silent = silent.iter().map(|silent| SilentView {
            process: silent.report.name(),
            heard_s_ago: silent.heard_ago.as_secs(),
        });
        Self {
            answered,
            silent: silent.collect(),
            complete,
        }
    }

    /// What an operator should know of it.
    pub(super) fn warnings(&self) -> Vec<Said> {
        let mut warnings = Vec::new();
        if !self.complete {
            warnings.push(say!(
                "other processes cannot be asked now (the broker is away, or the exchange `control` \
                 is missing or may not be used): these are the figures of one process",
                "暂时无法询问其他进程（RabbitMQ 不可用，或交换机 `control` 不存在或无权使用）：\
                 以下只是一个进程的数据"
            ));
        }
        for silent in &self.silent {
            let SilentView {
                process,
                heard_s_ago,
            } = silent;
            warnings.push(say!(
                "{process} does not answer (heard {heard_s_ago} s ago): it hangs, is cut off from the \
                 broker, or was killed",
                "{process} 没有应答（上次应答在 {heard_s_ago} 秒前）：已挂起、与 RabbitMQ 断开，或被强制结束"
            ));
        }
        warnings
    }
}

impl InstanceView {
    /// The instance as of `now`, Unix ms.
    pub(super) fn of(report: &InstanceReport, now: u64) -> Self {
        Self {
            instance: report.instance,
            role: report.role.clone(),
            host: report.host.clone(),
            pid: report.pid,
            version: report.version.clone(),
            started_at: report.started_at,
            uptime_s: now.saturating_sub(report.started_at) / 1_000,
            answered: true,
            heard_s_ago: None,
            clock_offset_ms: None,
            settings: String::new(),
            settings_differ: Vec::new(),
            reload: report.reload.as_ref().map(|reload| ReloadView {
                at: reload.at,
                refused: reload.refused.clone(),
                restart: reload.restart.clone(),
            }),
        }
    }
}
