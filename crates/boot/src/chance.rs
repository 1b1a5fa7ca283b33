//! Where do bytes come from that nobody can guess?

use std::io;

use rustls::crypto::ring::default_provider;

/// So many random bytes, fit for a key.
///
/// # Errors
/// When the system gives none.
pub fn secret_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let [one, two] = [(); 2].map(|()| secret_bytes::<32>().unwrap());
        assert_ne!(one, two);
    }
}
