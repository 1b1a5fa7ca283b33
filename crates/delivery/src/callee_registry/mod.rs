//! The registered callees, by number.

use std::collections::{HashMap, HashSet};

use thiserror::Error;

use crate::target_url::{TargetUrl, UrlError};

/// The callees that are registered in every gateway (the contract's table); their URLs come from
/// configuration.
const SHIPPED: [(&str, &str); 5] = [
    ("EO001", "乐居新房"),
    ("EO002", "易楼"),
    ("EO003", "房友"),
    ("EO004", "楼盘字典"),
    ("EO005", "房源仓库"),
];

/// The maximum length of a number in bytes: what a request may contain (contract, `callee_no`).
const MAX_NUMBER_BYTES: usize = 128;

/// A registered system: a `callee_no`, or a `caller_no`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredCallee {
    /// Its number, as registered.
    pub no: String,
    /// Its name for people.
    pub name: Option<String>,
    /// Its URL; without one it cannot be called.
    pub url: Option<TargetUrl>,
}

/// The registry of callees.
#[derive(Debug, Clone)]
pub struct CalleeRegistry {
    callees: Vec<RegisteredCallee>,
    /// Number as registered -> index into `callees`.
    exact: HashMap<String, usize>,
    /// Number in lower case -> index, or `None` if several numbers differ only by case.
    folded: HashMap<String, Option<usize>>,
}

/// A callee that cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("callee {no:?}: {kind}")]
pub struct RegistryError {
    /// Its number, as configured.
    pub no: String,
    /// What is wrong with it.
    pub kind: RegistryErrorKind,
}

/// Why a callee cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RegistryErrorKind {
    /// No request could contain its number.
    #[error(
        "its number must be 1 to {MAX_NUMBER_BYTES} bytes, not blank, without control characters"
    )]
    InvalidNumber,
    /// It has a blank name.
    #[error("its name is blank")]
    BlankName,
    /// Its URL may not be called.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// Its number is configured more than once.
    #[error("it is configured twice")]
    Duplicate,
}

impl CalleeRegistry {
    /// The five shipped callees, with changes and additions from configuration: numbers with an
    /// optional name and an optional URL.
    ///
    /// Environment variables may be in lower case. A number that differs from a shipped one only by
    /// case therefore changes that one (`eo001` is `EO001`). If both spellings are configured, the
    /// exact one wins, field by field. Other numbers that differ only by case are separate callees.
    ///
    /// # Errors
    /// [`RegistryError`] names the first callee that cannot be registered, and why.
    pub fn new(
        configured: impl IntoIterator<Item = (String, Option<String>, Option<String>)>,
    ) -> Result<Self, RegistryError> {
        let mut seen = HashSet::new();
        let mut callees = Vec::new();
        for (no, name, url) in configured {
            let callee = check(&no, name, url.as_deref()).map_err(|kind| RegistryError {
                no: no.clone(),
                kind,
            })?;
            if !seen.insert(no.clone()) {
                return Err(RegistryError {
                    no,
                    kind: RegistryErrorKind::Duplicate,
                });
            }
            callees.push(callee);
        }
        let callees = with_shipped(callees)?;
        let mut exact = HashMap::new();
        let mut folded = HashMap::new();
        for (index, callee) in callees.iter().enumerate() {
            exact.insert(callee.no.clone(), index);
            folded
                .entry(callee.no.to_ascii_lowercase())
                .and_modify(|only| *only = None)
                .or_insert(Some(index));
        }
        Ok(Self {
            callees,
            exact,
            folded,
        })
    }

    /// All callees, the shipped ones first.
    pub fn iter(&self) -> impl Iterator<Item = &RegisteredCallee> {
        self.callees.iter()
    }

    /// The callee of this number: the exact spelling, or else the only one that differs from it
    /// only by (ASCII) case.
    #[must_use]
    pub fn find(&self, no: &str) -> Option<&RegisteredCallee> {
        let index = match self.exact.get(no) {
            Some(&index) => index,
            None => (*self.folded.get(&no.to_ascii_lowercase())?)?,
        };
        self.callees.get(index)
    }
}

/// Checks a configured callee.
fn check(
    no: &str,
    name: Option<String>,
    url: Option<&str>,
) -> Result<RegisteredCallee, RegistryErrorKind> {
    if no.trim().is_empty() || no.len() > MAX_NUMBER_BYTES || no.chars().any(char::is_control) {
        return Err(RegistryErrorKind::InvalidNumber);
    }
    if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        return Err(RegistryErrorKind::BlankName);
    }
    let url = url.map(TargetUrl::parse).transpose()?;
    Ok(RegisteredCallee {
        no: no.to_owned(),
        name,
        url,
    })
}

/// Puts the shipped callees first, changed by the configured ones of the same number.
fn with_shipped(
    mut configured: Vec<RegisteredCallee>,
) -> Result<Vec<RegisteredCallee>, RegistryError> {
    let mut callees = Vec::with_capacity(SHIPPED.len() + configured.len());
    for (no, name) in SHIPPED {
        let mut changes: Vec<RegisteredCallee> = configured
            .extract_if(.., |callee| callee.no.eq_ignore_ascii_case(no))
            .collect();
        // The exact spelling first: the first value of a field wins.
        changes.sort_by_key(|callee| callee.no != no);
        // Two inexact spellings: neither is the right one.
        if let [.., before, last] = changes.as_slice()
            && before.no != no
        {
            return Err(RegistryError {
                no: last.no.clone(),
                kind: RegistryErrorKind::Duplicate,
            });
        }
        let mut callee = RegisteredCallee {
            no: no.to_owned(),
            name: None,
            url: None,
        };
        for RegisteredCallee { name, url, .. } in changes {
            callee.name = callee.name.or(name);
            callee.url = callee.url.or(url);
        }
        callee.name.get_or_insert_with(|| name.to_owned());
        callees.push(callee);
    }
    callees.append(&mut configured);
    Ok(callees)
}

#[cfg(test)]
mod tests;
