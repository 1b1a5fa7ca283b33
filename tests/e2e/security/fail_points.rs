//! What is shipped has no fail points.

use std::fs;

use tests::process::binary;

/// The variable that arms fail points, by the crate that reads it.
const ARMS: &[u8] = b"FAILPOINTS";

#[test]
fn the_shipped_binary_has_no_fail_points() {
    let program = fs::read(binary()).unwrap();
    let found = program.windows(ARMS.len()).any(|bytes| bytes == ARMS);
    assert!(!found, "fail points are compiled in");
}
