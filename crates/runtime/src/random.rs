//! Random bytes for keys and secrets.

use std::io;

use rustls::crypto::ring::default_provider;

/// `N` random bytes that are safe to use as a key.
///
/// # Errors
/// When the system provides none.
pub fn secret_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system provides no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_differ_each_time() {
        let [one, two] = [(); 2].map(|()| secret_bytes::<32>().unwrap());
        assert_ne!(one, two);
    }
}
