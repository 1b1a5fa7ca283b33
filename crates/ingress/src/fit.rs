//! How much room do the headers of a request take while its caller waits?
//!
//! actix keeps room for 28 of them, 6.6 KiB, as long as the request is answered. A caller that waits
//! for the first attempt would hold it for seconds, and ten thousand of them 64 MiB.

use actix_web::http::header::HeaderMap;

/// More headers than callers and their proxies send as a rule, in half the room.
const ENOUGH: usize = 14;

/// Gives back the room that was taken for headers which did not come. actix uses the map again for a
/// later request, so this seldom has anything to do.
pub(crate) fn fit(headers: &mut HeaderMap) {
    if headers.capacity() > ENOUGH && headers.len_keys() <= ENOUGH {
        *headers = std::mem::take(headers).into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{ACCEPT, HOST, HeaderName, HeaderValue};

    #[test]
    fn few_headers_stay_as_they_are_in_less_room() {
        let mut headers = HeaderMap::with_capacity(28);
        for value in ["a", "b", "c"] {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        headers.append(HOST, HeaderValue::from_static("h"));
        fit(&mut headers);
        assert!(headers.capacity() <= ENOUGH, "{}", headers.capacity());
        let accepted: Vec<_> = headers.get_all(ACCEPT).collect();
        assert_eq!(accepted, ["a", "b", "c"]);
        assert_eq!(headers.get(HOST).unwrap(), "h");
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn many_headers_are_left_alone() {
        let mut headers = HeaderMap::new();
        for number in 0..=ENOUGH {
            let name: HeaderName = format!("x-{number}").parse().unwrap();
            headers.append(name, HeaderValue::from(number));
        }
        let room = headers.capacity();
        fit(&mut headers);
        assert_eq!((headers.len(), headers.capacity()), (ENOUGH + 1, room));
    }
}
