//! Frees header capacity that a request does not use.
//!
//! actix allocates room for 28 headers, 6.6 KiB, and keeps it while the request is handled. A
//! caller that waits for the first attempt would hold it for seconds; ten thousand of them hold 64
//! MiB.

use actix_web::http::header::HeaderMap;

/// More headers than callers and their proxies usually send, in half the memory.
const MAX_KEPT_HEADERS: usize = 14;

/// Shrinks the map to what it holds. actix reuses the map for later requests of the connection, so
/// this rarely has anything to do.
pub(super) fn shrink(headers: &mut HeaderMap) {
    if headers.capacity() > MAX_KEPT_HEADERS && headers.len_keys() <= MAX_KEPT_HEADERS {
        *headers = std::mem::take(headers).into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{ACCEPT, HOST, HeaderName, HeaderValue};

    #[test]
    fn few_headers_keep_their_values_in_less_memory() {
        let mut headers = HeaderMap::with_capacity(28);
        for value in ["a", "b", "c"] {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        headers.append(HOST, HeaderValue::from_static("h"));
        shrink(&mut headers);
        let capacity = headers.capacity();
        assert!(capacity <= MAX_KEPT_HEADERS, "{capacity}");
        let accepted: Vec<_> = headers.get_all(ACCEPT).collect();
        assert_eq!(accepted, ["a", "b", "c"]);
        assert_eq!(headers.get(HOST).unwrap(), "h");
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn many_headers_are_not_copied() {
        let mut headers = HeaderMap::new();
        for number in 0..=MAX_KEPT_HEADERS {
            let name: HeaderName = format!("x-{number}").parse().unwrap();
            headers.append(name, HeaderValue::from(number));
        }
        let capacity = headers.capacity();
        shrink(&mut headers);
        let kept = (headers.len(), headers.capacity());
        assert_eq!(kept, (MAX_KEPT_HEADERS + 1, capacity));
    }
}
