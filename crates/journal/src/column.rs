//! Conversions between values and columns that both adapters use.

use uuid::Uuid;

/// The end of the timestamps that a UUID v7 can hold: 48 bits.
pub(crate) const END_OF_TIME: u64 = 1 << 48;

/// A signed 64-bit column value, saturating: no timestamp worth keeping is larger.
pub(crate) fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The smallest UUID v7 with this timestamp (Unix ms): ids made then or later are not smaller.
pub(crate) fn first_id(unix_ms: u64) -> Uuid {
    if unix_ms >= END_OF_TIME {
        return Uuid::max();
    }
    Uuid::from_u128(u128::from(unix_ms) << 80)
}
