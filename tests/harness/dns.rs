//! A name server for tests (RFC 1035, over UDP). It only gives addresses of this machine, so that
//! no packet of a test leaves it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
/// An answer, recursion desired and available, no error.
const NO_ERROR: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 0x8183;

/// The server's answer for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsAnswer {
    /// These addresses, with a time to live of 0; each question gets those of its record type.
    Addresses(Vec<IpAddr>),
    /// The first list for the first question of a type, the second for the second, and so on in
    /// rotation: a name that changes between two questions.
    Rotating(Vec<Vec<IpAddr>>),
    /// These addresses, but a question for those of a family is answered this much later, or never.
    Slow {
        /// The addresses of both families.
        addresses: Vec<IpAddr>,
        /// When a question for IPv4 addresses is answered.
        ipv4: Option<Duration>,
        /// When a question for IPv6 addresses is answered.
        ipv6: Option<Duration>,
    },
    /// NXDOMAIN, the answer for every name that is not set.
    NoSuchName,
    /// No answer at all.
    Silence,
}

/// A name server on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Zone {
    answers: HashMap<String, DnsAnswer>,
    /// By name and type of record.
    asked: HashMap<(String, u16), u64>,
}

impl Dns {
    /// Starts it on the current runtime.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = socket.local_addr().expect("an address");
        let zone = Arc::<Mutex<Zone>>::default();
        let stop = CancellationToken::new();
        let (stopped, serving) = (stop.clone(), serve(socket, zone.clone()));
        tokio::spawn(async move { stopped.run_until_cancelled(serving).await });
        Self {
            address,
            zone,
            _stop: stop.drop_guard(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the answer for a name; a rotation starts with its first list.
    ///
    /// # Panics
    /// When an address could lead a packet out of this machine.
    pub fn set(&self, name: &str, answer_for_name: DnsAnswer) {
        let addresses: Vec<IpAddr> = match &answer_for_name {
            DnsAnswer::Addresses(addresses) | DnsAnswer::Slow { addresses, .. } => {
                addresses.clone()
            }
            DnsAnswer::Rotating(lists) => lists.concat(),
            DnsAnswer::NoSuchName | DnsAnswer::Silence => Vec::new(),
        };
        assert!(addresses.iter().all(stays_here), "{addresses:?}");
        let mut zone = open(&self.zone);
        if let DnsAnswer::Rotating(_) = answer_for_name {
            zone.asked.retain(|(asked, _), _| asked != name);
        }
        zone.answers.insert(name.to_owned(), answer_for_name);
    }

    /// How often it was asked for the name, for all types of record together.
    pub fn asked(&self, name: &str) -> u64 {
        let zone = open(&self.zone);
        let of_name = zone.asked.iter().filter(|((asked, _), _)| asked == name);
        of_name.map(|(_, count)| count).sum()
    }

    /// How often it was asked for the name's IPv4 addresses.
    pub fn asked_for_ipv4(&self, name: &str) -> u64 {
        self.asked_for(name, TYPE_A)
    }

    /// How often it was asked for the name's IPv6 addresses.
    pub fn asked_for_ipv6(&self, name: &str) -> u64 {
        self.asked_for(name, TYPE_AAAA)
    }

    fn asked_for(&self, name: &str, record_type: u16) -> u64 {
        let key = (name.to_owned(), record_type);
        open(&self.zone).asked.get(&key).copied().unwrap_or(0)
    }
}

/// Loopback, or IPv6 that embeds a loopback address (mapped, NAT64 or 6to4), which is not routed.
fn stays_here(address: &IpAddr) -> bool {
    let inside = |high: u16| high >> 8 == 127;
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => match address.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, _] | [0x64, 0xff9b, 0, 0, 0, 0, high, _] => inside(high),
            [0x2002, high, ..] => inside(high),
            _ => *address == Ipv6Addr::LOCALHOST,
        },
    }
}

fn open(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let socket = Arc::new(socket);
    let mut query = [0; 1500];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut query).await else {
            continue;
        };
        let reply = answer(&query[..length], &mut open(&zone));
        // A lost answer is a timeout for the client.
        match reply {
            None => {}
            Some((reply, Duration::ZERO)) => _ = socket.send_to(&reply, client).await,
            Some((reply, delay)) => {
                let socket = socket.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = socket.send_to(&reply, client).await;
                });
            }
        }
    }
}

/// The answer to a question, and how much later it is given.
fn answer(query: &[u8], zone: &mut Zone) -> Option<(Vec<u8>, Duration)> {
    let (name, record_type, question) = read(query)?;
    let answer_for_name = zone
        .answers
        .get(&name)
        .cloned()
        .unwrap_or(DnsAnswer::NoSuchName);
    let asked = zone.asked.entry((name, record_type)).or_default();
    let position = *asked;
    *asked += 1;
    let mut delay = Duration::ZERO;
    let (flags, mut addresses) = match answer_for_name {
        DnsAnswer::Silence => return None,
        DnsAnswer::NoSuchName => (NO_SUCH_NAME, Vec::new()),
        DnsAnswer::Addresses(addresses) => (NO_ERROR, addresses),
        DnsAnswer::Slow {
            addresses,
            ipv4,
            ipv6,
        } => {
            let of_family = if record_type == TYPE_A { ipv4 } else { ipv6 };
            delay = of_family?;
            (NO_ERROR, addresses)
        }
        DnsAnswer::Rotating(mut lists) => {
            let index = usize::try_from(position).ok()?.checked_rem(lists.len())?;
            (NO_ERROR, lists.swap_remove(index))
        }
    };
    addresses.retain(|address| kind(address) == record_type);
    let count = u16::try_from(addresses.len()).ok()?;
    let mut reply = query[..2].to_vec();
    for number in [flags, 1, count, 0, 0] {
        reply.extend(number.to_be_bytes());
    }
    reply.extend(question);
    for address in addresses {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        // A pointer to the name in the question, the type, class IN, time to live 0, the length.
        reply.extend([0xc0, 12]);
        reply.extend(record_type.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 0]);
        reply.extend(u16::try_from(octets.len()).ok()?.to_be_bytes());
        reply.extend(octets);
    }
    Some((reply, delay))
}

/// The type of record that holds such an address.
fn kind(address: &IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => TYPE_A,
        IpAddr::V6(_) => TYPE_AAAA,
    }
}

/// The name asked for (lower case, no final dot), the type of record, and the question's bytes.
fn read(query: &[u8]) -> Option<(String, u16, &[u8])> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(str::from_utf8(query.get(at..at + length)?).ok()?);
        at += length;
    }
    let [high, low] = *query.get(at..at + 2)? else {
        return None;
    };
    let name = labels.join(".").to_lowercase();
    let record_type = u16::from_be_bytes([high, low]);
    Some((name, record_type, query.get(HEADER..at + 4)?))
}
