//! Who bears this number, and where is it called?

use std::collections::{HashMap, HashSet};

use thiserror::Error;

use crate::target::{TargetUrl, UrlFlaw};

/// The parties that every gateway knows (the contract's table); URLs come from configuration.
const SHIPPED: [(&str, &str); 5] = [
    ("EO001", "乐居新房"),
    ("EO002", "易楼"),
    ("EO003", "房友"),
    ("EO004", "楼盘字典"),
    ("EO005", "房源仓库"),
];

/// The longest number, in bytes: what a request can name (contract, `callee_no`).
const MOST_BYTES: usize = 128;

/// A numbered system: a callee, or a caller's `caller_no`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its number, as registered.
    pub no: String,
    /// What people call it.
    pub name: Option<String>,
    /// Where it is called; without a URL it can only be named.
    pub url: Option<TargetUrl>,
}

/// The registry of parties.
#[derive(Debug, Clone)]
pub struct Parties {
    parties: Vec<Party>,
    /// Number as registered -> place in `parties`.
    exact: HashMap<String, usize>,
    /// Number in lower case -> place, or `None` where several parties differ only by case.
    folded: HashMap<String, Option<usize>>,
}

/// A party that cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("party {no:?}: {flaw}")]
pub struct PartyError {
    /// Its number, as configured.
    pub no: String,
    /// What is wrong with it.
    pub flaw: PartyFlaw,
}

/// Why a party cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PartyFlaw {
    /// The number is one that no request could name.
    #[error("its number must be 1 to {MOST_BYTES} bytes, not blank, without control characters")]
    No,
    /// The name is there, but blank.
    #[error("its name is blank")]
    BlankName,
    /// The URL may not be called.
    #[error("{0}")]
    Url(#[from] UrlFlaw),
    /// The number stands in the configuration more than once.
    #[error("it is configured twice")]
    Twice,
}

impl Parties {
    /// Makes the registry: the five shipped parties, amended and joined by the configured ones,
    /// each a number, an optional name and an optional URL.
    ///
    /// Environment variables arrive in lower case, so case is forgiven where it leaves no doubt:
    /// a number that differs from a shipped one only by case amends that one (`eo001` is `EO001`).
    /// Where both spellings are configured, the exact one wins, field by field. Other numbers that
    /// differ only by case are parties of their own.
    ///
    /// # Errors
    /// [`PartyError`] names the first party that cannot be registered, and why.
    pub fn new(
        configured: impl IntoIterator<Item = (String, Option<String>, Option<String>)>,
    ) -> Result<Self, PartyError> {
        let mut seen = HashSet::new();
        let mut parties = Vec::new();
        for (no, name, url) in configured {
            let party = read(&no, name, url.as_deref()).map_err(|flaw| PartyError {
                no: no.clone(),
                flaw,
            })?;
            if !seen.insert(no.clone()) {
                return Err(PartyError {
                    no,
                    flaw: PartyFlaw::Twice,
                });
            }
            parties.push(party);
        }
        let parties = with_shipped(parties)?;
        let mut exact = HashMap::new();
        let mut folded = HashMap::new();
        for (place, party) in parties.iter().enumerate() {
            exact.insert(party.no.clone(), place);
            folded
                .entry(party.no.to_ascii_lowercase())
                .and_modify(|only| *only = None)
                .or_insert(Some(place));
        }
        Ok(Self {
            parties,
            exact,
            folded,
        })
    }

    /// The party of this number: the exact spelling, or else the only one that differs from it by
    /// nothing but (ASCII) case.
    #[must_use]
    pub fn find(&self, no: &str) -> Option<&Party> {
        let place = match self.exact.get(no) {
            Some(&place) => place,
            None => (*self.folded.get(&no.to_ascii_lowercase())?)?,
        };
        self.parties.get(place)
    }
}

/// Checks one configured party.
fn read(no: &str, name: Option<String>, url: Option<&str>) -> Result<Party, PartyFlaw> {
    if no.trim().is_empty() || no.len() > MOST_BYTES || no.chars().any(char::is_control) {
        return Err(PartyFlaw::No);
    }
    if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        return Err(PartyFlaw::BlankName);
    }
    let url = url.map(TargetUrl::parse).transpose()?;
    Ok(Party {
        no: no.to_owned(),
        name,
        url,
    })
}

/// Puts the shipped parties first, amended by the configured ones of the same number.
fn with_shipped(mut configured: Vec<Party>) -> Result<Vec<Party>, PartyError> {
    let mut parties = Vec::with_capacity(SHIPPED.len() + configured.len());
    for (no, name) in SHIPPED {
        let mut amending: Vec<Party> = configured
            .extract_if(.., |party| party.no.eq_ignore_ascii_case(no))
            .collect();
        // The exact spelling first: the first value of a field wins.
        amending.sort_by_key(|party| party.no != no);
        // Two inexact spellings: none of them is the right one.
        if let [.., before, last] = amending.as_slice()
            && before.no != no
        {
            return Err(PartyError {
                no: last.no.clone(),
                flaw: PartyFlaw::Twice,
            });
        }
        let mut party = Party {
            no: no.to_owned(),
            name: None,
            url: None,
        };
        for Party { name, url, .. } in amending {
            party.name = party.name.or(name);
            party.url = party.url.or(url);
        }
        party.name.get_or_insert_with(|| name.to_owned());
        parties.push(party);
    }
    parties.append(&mut configured);
    Ok(parties)
}

#[cfg(test)]
mod tests;
