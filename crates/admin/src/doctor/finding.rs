//! The result of a check.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::said::Said;
use crate::api::rfc3339;

/// How bad it is. In this order, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It could not be found out.
    Unknown,
    /// Somebody should look at it soon.
    Warning,
    /// Callbacks are refused, wait or are lost sight of until somebody acts.
    Failure,
}

impl Severity {
    /// The word in front of a finding.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The name of the check.
    pub check: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// What is so.
    pub sentence: String,
    /// The same in Chinese, where it was found by this process.
    #[serde(skip)]
    pub(crate) chinese: Option<String>,
    /// Since when, RFC 3339, where the check knows it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    pub since: Option<u64>,
    /// What to do next, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cow<'static, str>>,
    /// The same in Chinese.
    #[serde(skip)]
    pub(crate) next_chinese: Option<String>,
    /// The section of the runbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Cow<'static, str>>,
}

impl Finding {
    /// A finding without a next step.
    pub fn new(check: &'static str, severity: Severity, sentence: impl Into<Said>) -> Self {
        let (sentence, chinese) = sentence.into().into_parts();
        Self {
            check: Cow::Borrowed(check),
            severity,
            sentence,
            since: None,
            chinese,
            next: None,
            next_chinese: None,
            runbook: None,
        }
    }

    pub(crate) fn ok(check: &'static str, sentence: impl Into<Said>) -> Self {
        Self::new(check, Severity::Ok, sentence)
    }

    pub(crate) fn unknown(check: &'static str, sentence: impl Into<Said>) -> Self {
        Self::new(check, Severity::Unknown, sentence)
    }

    pub(crate) fn warning(check: &'static str, sentence: impl Into<Said>) -> Self {
        Self::new(check, Severity::Warning, sentence)
    }

    /// A failure.
    pub fn failure(check: &'static str, sentence: impl Into<Said>) -> Self {
        Self::new(check, Severity::Failure, sentence)
    }

    /// Adds since when it is so, Unix ms.
    pub(crate) fn since(mut self, since: u64) -> Self {
        self.since = Some(since);
        self
    }

    /// Adds the next step.
    #[must_use]
    pub fn next(mut self, step: impl Into<Said>) -> Self {
        let (next, chinese) = step.into().into_parts();
        (self.next, self.next_chinese) = (Some(next.into()), chinese);
        self
    }

    /// Adds the section of the runbook.
    #[must_use]
    pub fn runbook(mut self, anchor: &'static str) -> Self {
        self.runbook = Some(Cow::Borrowed(anchor));
        self
    }
}
