//! Ids of callbacks: when they were generated, and by whom.

use uuid::Uuid;

/// The low bits of an id from a process that the journal may not know. They are random otherwise, so
/// that one foreign id in 65,536 looks like one.
const MARK: u128 = 0x5eed;
const MASK: u128 = 0xffff;

/// When a UUID of version 7 was generated, Unix ms: its first 48 bits (RFC 9562, 5.7).
pub fn generated_at(request_id: Uuid) -> u64 {
    request_id.as_u64_pair().0 >> 16
}

/// The id of a process that has not registered in the journal.
pub(crate) fn mark(request_id: Uuid) -> Uuid {
    Uuid::from_u128(request_id.as_u128() & !MASK | MARK)
}

/// Whether the id is marked.
pub(crate) fn is_marked(request_id: Uuid) -> bool {
    request_id.as_u128() & MASK == MARK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_id_keeps_its_version_and_time() {
        let id = uuid::Builder::from_unix_timestamp_millis(1_700_000_000_123, &[7; 10]).into_uuid();
        assert!(!is_marked(id));
        let marked = mark(id);
        assert!(is_marked(marked));
        assert_eq!(marked.get_version_num(), 7);
        assert_eq!(generated_at(marked), 1_700_000_000_123);
        assert_eq!(marked.as_u128() >> 16, id.as_u128() >> 16);
    }
}
