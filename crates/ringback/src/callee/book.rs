//! What did the practice callee receive?

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::HttpRequest;
use serde::Serialize;

use super::base64;

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Its place in the order of arrival, from 0; never reused, not even after [`Book::clear`].
    pub index: u64,
    /// When it had come in whole, in milliseconds since 1970 (UTC).
    pub time_ms: u64,
    /// The HTTP method.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// The `webhook-id` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The `x-callback-attempt` header, where it is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// All headers by lower-case name; repeated ones joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(flatten)]
    pub body: Body,
    /// The status that the path ordered; none where it ordered no answer. The client may have
    /// left before it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// A request's body, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Body {
    /// Valid UTF-8, listed as `body`.
    #[serde(rename = "body")]
    Text(String),
    /// Anything else, listed as `body_base64`.
    #[serde(rename = "body_base64", serialize_with = "base64::serialize")]
    Bytes(Vec<u8>),
}

impl Body {
    /// The bytes that came in.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Received {
    /// What it holds in memory, in bytes, near enough to bound the book.
    fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.path.len() + headers + self.body.as_bytes().len()
    }
}

/// The last requests received, shared by the server and whoever asks. Bounded: the oldest go
/// first.
#[derive(Debug)]
pub struct Book {
    most_entries: usize,
    most_bytes: usize,
    hasher: RandomState,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    received: VecDeque<Arc<Received>>,
    bytes: usize,
    next_index: u64,
    count: u64,
    /// Visits by the hash of path and id: a few bytes each, however long the ids are.
    visits: HashMap<u64, u32>,
    /// The keys of `visits`, oldest first.
    visitors: VecDeque<u64>,
}

/// How many different ids are told apart by `/flaky` and `/retry-after`.
const MOST_VISITORS: usize = 200_000;

impl Default for Book {
    /// The last 10,000 requests, and 64 MiB of them at most.
    fn default() -> Self {
        Self::bounded(10_000, 64 * 1024 * 1024)
    }
}

impl Book {
    /// A book of at most so many requests and so many bytes (paths, headers and bodies).
    pub fn bounded(most_entries: usize, most_bytes: usize) -> Self {
        Self {
            most_entries,
            most_bytes,
            hasher: RandomState::new(),
            pages: Mutex::default(),
        }
    }

    /// What was received and is still kept, newest last.
    pub fn received(&self) -> Vec<Arc<Received>> {
        self.open().received.iter().cloned().collect()
    }

    /// What was received under this `webhook-id` and is still kept, newest last.
    pub fn for_id(&self, id: &str) -> Vec<Arc<Received>> {
        let mut received = self.received();
        received.retain(|one| one.id.as_deref() == Some(id));
        received
    }

    /// How many requests came in since the start or the last [`Book::clear`], those no longer
    /// kept included.
    pub fn count(&self) -> u64 {
        self.open().count
    }

    /// Forgets everything but the next index.
    pub fn clear(&self) {
        let mut pages = self.open();
        let next_index = pages.next_index;
        *pages = Pages {
            next_index,
            ..Pages::default()
        };
    }

    /// Notes one more visit of this path under this `webhook-id` (none counts as an id of its
    /// own) and says how many came before.
    pub(super) fn visit(&self, path: &str, id: Option<&str>) -> u32 {
        let key = self.hasher.hash_one((path, id));
        let mut pages = self.open();
        if let Some(visits) = pages.visits.get_mut(&key) {
            let earlier = *visits;
            *visits = visits.saturating_add(1);
            return earlier;
        }
        if pages.visitors.len() >= MOST_VISITORS
            && let Some(oldest) = pages.visitors.pop_front()
        {
            pages.visits.remove(&oldest);
        }
        pages.visits.insert(key, 1);
        pages.visitors.push_back(key);
        0
    }

    /// Writes a request down.
    pub(super) fn write(&self, request: &HttpRequest, body: &[u8], status: Option<u16>) {
        let mut entry = read(request, body, status);
        let size = entry.size();
        let mut pages = self.open();
        entry.index = pages.next_index;
        pages.next_index += 1;
        pages.count += 1;
        pages.bytes += size;
        pages.received.push_back(Arc::new(entry));
        while pages.received.len() > self.most_entries || pages.bytes > self.most_bytes {
            let Some(oldest) = pages.received.pop_front() else {
                break;
            };
            pages.bytes -= oldest.size();
        }
    }

    fn open(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies what is to be kept: the server's buffers are larger, and would be kept with it.
fn read(request: &HttpRequest, body: &[u8], status: Option<u16>) -> Received {
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
        Ok(text) => Body::Text(text.to_owned()),
        Err(_) => Body::Bytes(body.to_vec()),
    };
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Received {
        index: 0, // Given under the lock, so that the order of indexes is the order of the list.
        time_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
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
