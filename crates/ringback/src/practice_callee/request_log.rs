//! The requests that the practice callee has received.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::HttpRequest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use runtime::clock::now_ms;
use serde::{Serialize, Serializer};

/// One request as it was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceivedRequest {
    /// Its position in the order of arrival, from 0; never reused, not even after [`RequestLog::clear`].
    pub index: u64,
    /// When it had arrived completely, in milliseconds since 1970 (UTC).
    pub time_ms: u64,
    /// The HTTP method.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// The `webhook-id` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The `x-callback-attempt` header, if it is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// All headers by lower-case name; repeated ones joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(flatten)]
    pub body: RequestBody,
    /// The status that the path asked for; `None` without an answer. The client may have disconnected
    /// before it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// A request's body, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum RequestBody {
    /// Valid UTF-8, listed as `body`.
    #[serde(rename = "body")]
    Text(String),
    /// Anything else, listed as `body_base64`.
    #[serde(rename = "body_base64", serialize_with = "as_base64")]
    Bytes(Vec<u8>),
}

impl RequestBody {
    /// The bytes received.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

fn as_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&BASE64_STANDARD.encode(bytes))
}

impl ReceivedRequest {
    /// Its approximate memory in bytes, to bound the log.
    fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.path.len() + headers + self.body.as_bytes().len()
    }
}

/// The last requests received, shared by the server and its readers. Bounded: the oldest are removed
/// first.
#[derive(Debug)]
pub struct RequestLog {
    max_entries: usize,
    max_bytes: usize,
    hasher: RandomState,
    state: Mutex<LogState>,
}

#[derive(Debug, Default)]
struct LogState {
    received: VecDeque<Arc<ReceivedRequest>>,
    bytes: usize,
    next_index: u64,
    count: u64,
    /// Visits by the hash of path and id: a few bytes each, however long the ids are.
    visits: HashMap<u64, u32>,
    /// The keys of `visits`, oldest first.
    visitors: VecDeque<u64>,
}

/// How many different ids `/flaky` and `/retry-after` distinguish.
const MAX_VISITORS: usize = 200_000;

impl Default for RequestLog {
    /// The last 10,000 requests, and 64 MiB of them at most.
    fn default() -> Self {
        Self::bounded(10_000, 64 * 1024 * 1024)
    }
}

impl RequestLog {
    /// A log of at most this many requests and bytes (paths, headers and bodies).
    pub fn bounded(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            max_entries,
            max_bytes,
            hasher: RandomState::new(),
            state: Mutex::default(),
        }
    }

    /// The requests that are still kept, newest last.
    pub fn received(&self) -> Vec<Arc<ReceivedRequest>> {
        self.lock().received.iter().cloned().collect()
    }

    /// Those with this `webhook-id` that are still kept, newest last.
    pub fn for_id(&self, id: &str) -> Vec<Arc<ReceivedRequest>> {
        let mut received = self.received();
        received.retain(|one| one.id.as_deref() == Some(id));
        received
    }

    /// How many requests were received since the start or the last [`RequestLog::clear`], including
    /// those that are no longer kept.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// Removes everything but the next index.
    pub fn clear(&self) {
        let mut state = self.lock();
        let next_index = state.next_index;
        *state = LogState {
            next_index,
            ..LogState::default()
        };
    }

    /// Counts a request to this path with this `webhook-id` (a missing one counts as an id), and
    /// returns how many there were before.
    pub(super) fn count_visit(&self, path: &str, id: Option<&str>) -> u32 {
        let key = self.hasher.hash_one((path, id));
        let mut state = self.lock();
        if let Some(visits) = state.visits.get_mut(&key) {
            let earlier = *visits;
            *visits = visits.saturating_add(1);
            return earlier;
        }
        if state.visitors.len() >= MAX_VISITORS
            && let Some(oldest) = state.visitors.pop_front()
        {
            state.visits.remove(&oldest);
        }
        state.visits.insert(key, 1);
        state.visitors.push_back(key);
        0
    }

    /// Adds a request.
    pub(super) fn write(&self, request: &HttpRequest, body: &[u8], status: Option<u16>) {
        let mut entry = copy(request, body, status);
        let size = entry.size();
        let mut state = self.lock();
        entry.index = state.next_index;
        state.next_index += 1;
        state.count += 1;
        state.bytes += size;
        state.received.push_back(Arc::new(entry));
        while state.received.len() > self.max_entries || state.bytes > self.max_bytes {
            let Some(oldest) = state.received.pop_front() else {
                break;
            };
            state.bytes -= oldest.size();
        }
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies the request, because the server's buffers are larger.
fn copy(request: &HttpRequest, body: &[u8], status: Option<u16>) -> ReceivedRequest {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    let body = match str::from_utf8(body) {
        Ok(text) => RequestBody::Text(text.to_owned()),
        Err(_) => RequestBody::Bytes(body.to_vec()),
    };
    ReceivedRequest {
        index: 0, // Set under the lock, so that the order of indexes is the order of the list.
        time_ms: now_ms(),
        method: request.method().to_string(),
        path: request.uri().to_string(),
        id: headers.get("webhook-id").cloned(),
        attempt: headers
            .get("x-callback-attempt")
            .and_then(|number| number.parse().ok()),
        headers,
        body,
        status,
    }
}
