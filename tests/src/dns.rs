//! How does a test decide what a name resolves to? By a name server of its own (RFC 1035, over
//! UDP), which knows loopback addresses alone: no packet of a test may leave the machine.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
/// An answer, recursion desired and available, no error.
const NO_ERROR: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 0x8183;

/// What the server says when it is asked for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// These IPv4 addresses, with a time to live of 0.
    Addresses(Vec<Ipv4Addr>),
    /// NXDOMAIN, as for every name that it was not told of.
    NoSuchName,
    /// Nothing at all.
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
    says: HashMap<String, Says>,
    asked: HashMap<String, u64>,
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

    /// From now on it says this of the name.
    ///
    /// # Panics
    /// When an address is not a loopback address.
    pub fn set(&self, name: &str, says: Says) {
        if let Says::Addresses(addresses) = &says {
            assert!(addresses.iter().all(Ipv4Addr::is_loopback), "{addresses:?}");
        }
        open(&self.zone).says.insert(name.to_owned(), says);
    }

    /// How often it was asked for the name, for all types of record together.
    pub fn asked(&self, name: &str) -> u64 {
        open(&self.zone).asked.get(name).copied().unwrap_or(0)
    }
}

fn open(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut query = [0; 1500];
    loop {
        let Ok((length, asker)) = socket.recv_from(&mut query).await else {
            continue;
        };
        let reply = answer(&query[..length], &mut open(&zone));
        if let Some(reply) = reply {
            // A lost answer is a time-out, and the asker's business.
            let _ = socket.send_to(&reply, asker).await;
        }
    }
}

fn answer(query: &[u8], zone: &mut Zone) -> Option<Vec<u8>> {
    let (name, record_type, question) = read(query)?;
    let says = zone.says.get(&name).cloned().unwrap_or(Says::NoSuchName);
    *zone.asked.entry(name).or_default() += 1;
    let (flags, addresses) = match says {
        Says::Silence => return None,
        Says::NoSuchName => (NO_SUCH_NAME, Vec::new()),
        Says::Addresses(addresses) if record_type == TYPE_A => (NO_ERROR, addresses),
        Says::Addresses(_) => (NO_ERROR, Vec::new()),
    };
    let count = u16::try_from(addresses.len()).ok()?;
    let mut reply = query[..2].to_vec();
    for number in [flags, 1, count, 0, 0] {
        reply.extend(number.to_be_bytes());
    }
    reply.extend(question);
    for address in addresses {
        // The name by pointer to the question, A, IN, time to live 0, 4 bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
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
