//! What does a target look like that is told while it runs how to behave, and that counts how many
//! call it at a time?

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How it answers what comes in from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// With this status, at once.
    Status(u16),
    /// 200 after a while.
    Slow(Duration),
    /// Never.
    Hang,
    /// 429, and it asks to be left alone for so many seconds.
    Leave(u64),
}

/// One request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) at: Instant,
    pub(crate) id: String,
    pub(crate) attempt: u32,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) status: Option<u16>,
    /// What it was answered, if anything.
    pub(crate) body: &'static str,
}

/// Such a target on a free port of 127.0.0.1, until dropped.
#[derive(Debug)]
pub(crate) struct Moody {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    body: &'static str,
    arrived: Vec<Arrived>,
    connections: usize,
    in_flight: usize,
    most_in_flight: usize,
}

impl Moody {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            mood,
            body: "{}",
            arrived: Vec::new(),
            connections: 0,
            in_flight: 0,
            most_in_flight: 0,
        }));
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(
            listener,
            state.clone(),
            stop.clone(),
        )));
        Self {
            address,
            state,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// Its name, as limits know it.
    pub(crate) fn target(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Behaves so from now on; what hangs already goes on hanging.
    pub(crate) fn be(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Says this in every answer from now on.
    pub(crate) fn say(&self, body: &'static str) {
        self.state().body = body;
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.state().arrived.clone()
    }

    /// The ids that were answered 200.
    pub(crate) fn taken(&self) -> BTreeSet<String> {
        let state = self.state();
        let taken = state.arrived.iter().filter(|it| it.status == Some(200));
        taken.map(|it| it.id.clone()).collect()
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    /// The most requests that were here at a time.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.state().most_in_flight
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, stop: CancellationToken) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        state.lock().unwrap().connections += 1;
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            // That the client leaves is how it ends.
            let _ = serve(stream, &state).await;
        }));
    }
}

/// Counts a request as here until dropped.
struct Here<'a>(&'a Mutex<State>);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().in_flight -= 1;
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut unread = Vec::new();
    while let Some(headers) = request(&mut stream, &mut unread).await? {
        let (mood, body, _here) = begin(headers, state);
        let (status, wait, more) = match mood {
            Mood::Status(status) => (status, Duration::ZERO, String::new()),
            Mood::Slow(wait) => (200, wait, String::new()),
            Mood::Leave(seconds) => (429, Duration::ZERO, format!("retry-after: {seconds}\r\n")),
            Mood::Hang => {
                // Until the client leaves.
                while stream.read(&mut [0; 1024]).await? > 0 {}
                return Ok(());
            }
        };
        tokio::time::sleep(wait).await;
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} -\r\n{more}content-length: {length}\r\n\r\n{body}");
        drop(_here);
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

fn begin(
    headers: BTreeMap<String, String>,
    state: &Mutex<State>,
) -> (Mood, &'static str, Here<'_>) {
    let mut now = state.lock().unwrap();
    let status = match now.mood {
        Mood::Status(status) => Some(status),
        Mood::Slow(_) => Some(200),
        Mood::Leave(_) => Some(429),
        Mood::Hang => None,
    };
    let text = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let (id, attempt) = (text("webhook-id"), text("x-callback-attempt"));
    let body = now.body;
    now.arrived.push(Arrived {
        at: Instant::now(),
        id,
        attempt: attempt.parse().unwrap_or_default(),
        headers,
        status,
        body,
    });
    now.in_flight += 1;
    now.most_in_flight = now.most_in_flight.max(now.in_flight);
    (now.mood, body, Here(state))
}

/// The next request's headers, its body read and dropped; none when the client has left.
async fn request(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
) -> std::io::Result<Option<BTreeMap<String, String>>> {
    loop {
        if let Some(end) = unread.windows(4).position(|it| it == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&unread[..end]).into_owned();
            let headers: BTreeMap<String, String> = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length = headers
                .get("content-length")
                .map_or(0, |it| it.parse().unwrap());
            if unread.len() >= end + 4 + length {
                unread.drain(..end + 4 + length);
                return Ok(Some(headers));
            }
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}
