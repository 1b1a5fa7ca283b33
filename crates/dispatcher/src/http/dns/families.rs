//! Asks for the IPv4 and the IPv6 addresses of a name at once, and waits for the slower answer only
//! briefly (RFC 8305, section 3).
//!
//! Many a name server answers for one family and drops questions for the other. Such a name is called
//! at the addresses that are known. Each family's answer is cached for its own time to live, so an
//! incomplete result is nowhere kept as a complete one.

use delivery::FailedLookup;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long the first family waits for the other one: the "resolution delay" of RFC 8305, section 3.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// How long a family that did not answer is left out, where the other one answers.
const SILENCE_REMEMBERED: Duration = Duration::from_secs(30);
/// How many silent names are remembered. Beyond that each costs its delay again.
const MAX_SILENT: usize = 1_000;

/// Looks up names.
pub(super) struct Families {
    resolver: Arc<TokioResolver>,
    timeout: Duration,
    silent: Arc<SilentFamilies>,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LookupError {
    /// It does not exist, or has none.
    NotFound,
    /// No answer, or the answer that the server failed: in words.
    Failed(FailedLookup, Words),
}

/// What the resolver or a name server said of a failure.
pub(super) type Words = Arc<str>;

/// What is said where nothing came by the deadline.
const NO_ANSWER: &str = "no answer in time";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Family {
    Ipv4,
    Ipv6,
}

/// What became of the question for one family.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Addresses(Vec<IpAddr>),
    /// The name has none of this family.
    NoAddress,
    /// There is no such name (NXDOMAIN).
    NoName,
    Failed(Words),
}

type Question = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Families {
    pub(super) fn new(resolver: TokioResolver, timeout: Duration) -> Self {
        Self {
            resolver: Arc::new(resolver),
            timeout,
            silent: Arc::default(),
        }
    }

    /// The addresses of an absolute name, IPv6 first.
    ///
    /// # Errors
    /// There are none, or none could be found by the deadline.
    pub(super) async fn lookup(
        &self,
        name: &Name,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, LookupError> {
        for silent in [Family::Ipv6, Family::Ipv4] {
            let other = silent.other();
            if self.silent.contains(name, silent)
                && let Ok(answer) = timeout_at(deadline, self.ask(name, other)).await
                && answer.suffices(other)
            {
                return combine(answer, Answer::NoAddress);
            }
        }
        let (mut ipv4, mut ipv6) = (self.ask(name, Family::Ipv4), self.ask(name, Family::Ipv6));
        let first = timeout_at(deadline, async {
            tokio::select! {
                biased;
                answer = &mut ipv6 => (Family::Ipv6, answer),
                answer = &mut ipv4 => (Family::Ipv4, answer),
            }
        });
        let Ok((family, answer)) = first.await else {
            return combine(Answer::no_answer(), Answer::no_answer());
        };
        let mut other = match family {
            Family::Ipv4 => ipv6,
            Family::Ipv6 => ipv4,
        };
        let late = match answer.suffices(family) {
            false => match timeout_at(deadline, other).await {
                Ok(late) => late,
                Err(_) => Answer::no_answer(),
            },
            true => {
                let delay = deadline.min(Instant::now() + RESOLUTION_DELAY);
                match timeout_at(delay, &mut other).await {
                    Ok(late) => late,
                    // Nothing can be sent to these addresses, so the others are worth waiting for.
                    Err(_) if !answer.has_route() => match timeout_at(deadline, other).await {
                        Ok(late) => late,
                        Err(_) => Answer::no_answer(),
                    },
                    Err(_) => {
                        self.listen_on(name, family.other(), other);
                        Answer::no_answer()
                    }
                }
            }
        };
        match family {
            Family::Ipv4 => combine(answer, late),
            Family::Ipv6 => combine(late, answer),
        }
    }

    fn ask(&self, name: &Name, family: Family) -> Question {
        let (resolver, name) = (Arc::clone(&self.resolver), name.clone());
        Box::pin(async move {
            let record_type = match family {
                Family::Ipv4 => RecordType::A,
                Family::Ipv6 => RecordType::AAAA,
            };
            Answer::of(resolver.lookup(name, record_type).await.map(|found| {
                let records = found.answers().iter();
                records.filter_map(|record| record.data.ip_addr()).collect()
            }))
        })
    }

    /// Remembers a family as silent, and lets its question go on: an answer goes into the cache and ends
    /// the silence. One task for each name that is remembered.
    fn listen_on(&self, name: &Name, family: Family, question: Question) {
        if !self.silent.insert(name, family) {
            return;
        }
        let (silent, name, timeout) = (Arc::clone(&self.silent), name.clone(), self.timeout);
        tokio::spawn(async move {
            let answer = tokio::time::timeout(timeout, question).await;
            if answer.is_ok_and(|answer| !matches!(answer, Answer::Failed(_))) {
                silent.remove(&name, family);
            }
        });
    }
}

impl Family {
    fn other(self) -> Self {
        match self {
            Self::Ipv4 => Self::Ipv6,
            Self::Ipv6 => Self::Ipv4,
        }
    }
}

impl Answer {
    fn of(found: Result<Vec<IpAddr>, NetError>) -> Self {
        match found {
            Ok(addresses) if addresses.is_empty() => Self::NoAddress,
            Ok(addresses) => Self::Addresses(addresses),
            Err(NetError::Dns(DnsError::NoRecordsFound(answer)))
                if answer.response_code == ResponseCode::NXDomain =>
            {
                Self::NoName
            }
            Err(error) if is_negative(&error) => Self::NoAddress,
            Err(error) => Self::Failed(words(&error).into()),
        }
    }

    fn no_answer() -> Self {
        Self::Failed(NO_ANSWER.into())
    }

    /// Whether the result is clear without the other family. Some servers deny the existence of any
    /// name that has no IPv6 address (RFC 4074, section 4.2), so only the other denial counts.
    fn suffices(&self, family: Family) -> bool {
        match self {
            Self::Addresses(_) => true,
            Self::NoName => family == Family::Ipv4,
            Self::NoAddress | Self::Failed(_) => false,
        }
    }

    /// Whether this machine could send to one of the addresses. Nothing is sent: a UDP socket is bound
    /// to a route when it is connected. True where the answer has no addresses.
    fn has_route(&self) -> bool {
        let Self::Addresses(addresses) = self else {
            return true;
        };
        addresses.iter().any(|&address| {
            let unspecified = match address {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            // Any port but 0.
            let connected = UdpSocket::bind(SocketAddr::new(unspecified, 0))
                .and_then(|socket| socket.connect(SocketAddr::new(address, 9)));
            connected.is_ok()
        })
    }
}

fn combine(ipv4: Answer, ipv6: Answer) -> Result<Vec<IpAddr>, LookupError> {
    let failed = match (&ipv4, &ipv6) {
        (Answer::Failed(ipv4), Answer::Failed(ipv6)) if ipv4 == ipv6 => {
            Some((FailedLookup::Both, Arc::clone(ipv4)))
        }
        (Answer::Failed(ipv4), Answer::Failed(ipv6)) => {
            let both = format!("IPv4: {ipv4}; IPv6: {ipv6}");
            Some((FailedLookup::Both, both.into()))
        }
        (Answer::Failed(words), _) => Some((FailedLookup::Ipv4, Arc::clone(words))),
        (Answer::NoAddress, Answer::Failed(words)) => Some((FailedLookup::Ipv6, Arc::clone(words))),
        // No such name, whatever became of the other question.
        _ => None,
    };
    let mut addresses = Vec::new();
    for answer in [ipv6, ipv4] {
        if let Answer::Addresses(found) = answer {
            addresses.extend(found);
        }
    }
    match failed {
        _ if !addresses.is_empty() => Ok(addresses),
        Some((failed, words)) => Err(LookupError::Failed(failed, words)),
        None => Err(LookupError::NotFound),
    }
}

/// The failure in the resolver's words, or the name server's answer.
fn words(error: &NetError) -> String {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(answer)) => {
            format!("the name server answered {}", answer.response_code)
        }
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the name server answered {code}"),
        error => error.to_string(),
    }
}

/// Whether the answer is that the name does not exist or has no address.
pub(super) fn is_negative(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(answer)) = error else {
        return false;
    };
    matches!(
        answer.response_code,
        ResponseCode::NXDomain | ResponseCode::NoError
    )
}

/// Families that did not answer recently, by name.
#[derive(Debug, Default)]
struct SilentFamilies(Mutex<HashMap<(Name, Family), Instant>>);

impl SilentFamilies {
    fn contains(&self, name: &Name, family: Family) -> bool {
        let silent = self.lock();
        // Nearly always: no name is copied for the question.
        if silent.is_empty() {
            return false;
        }
        let until = silent.get(&(name.clone(), family));
        until.is_some_and(|until| Instant::now() < *until)
    }

    /// Returns whether it is new, and there is room for it.
    fn insert(&self, name: &Name, family: Family) -> bool {
        let (mut silent, now) = (self.lock(), Instant::now());
        if silent.len() >= MAX_SILENT {
            silent.retain(|_, until| now < *until);
        }
        if silent.len() >= MAX_SILENT {
            return false;
        }
        let until = now + SILENCE_REMEMBERED;
        let before = silent.insert((name.clone(), family), until);
        before.is_none_or(|before| before <= now)
    }

    fn remove(&self, name: &Name, family: Family) {
        self.lock().remove(&(name.clone(), family));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Name, Family), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
