//! Backups of the embedded store's data directory.
//!
//! - `manifest.rs`: what is in a backup.
//! - `save.rs`: makes one. `restore.rs`: makes a data directory of one.
//! - `spool.rs`: records that are on their way to the journal.
//! - `progress.rs`: says how far it is.

mod manifest;
mod progress;
mod restore;
mod save;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use progress::CopyProgress;
pub(crate) use restore::restore;
pub(crate) use save::save;

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

/// Copies what can be read, and returns how many bytes that were and their SHA-256.
fn copy_hashed(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let (mut hasher, mut copied) = (Sha256::new(), 0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((copied, hex(&hasher.finalize())));
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        copied += read as u64;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
