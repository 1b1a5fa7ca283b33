//! Finds the end of a chunked body, by the same rules as actix's decoder.

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug)]
enum At {
    SizeFirst,
    SizeRest,
    SizeBlank,
    Extension,
    SizeLineFeed,
    Data,
    DataCarriageReturn,
    DataLineFeed,
    Trailer,
    TrailerLineFeed,
    EndCarriageReturn,
    EndLineFeed,
    /// The body is complete, or actix refuses it.
    End,
}

/// Follows one chunked body.
#[derive(Debug)]
pub(super) struct ChunkScanner {
    at: At,
    size: u64,
}

impl ChunkScanner {
    pub(super) const fn new() -> Self {
        Self {
            at: At::SizeFirst,
            size: 0,
        }
    }

    /// How many of these bytes belong to the body, and whether it ends with them.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            if matches!(self.at, At::Data) {
                let left = bytes.len() - taken;
                let data = usize::try_from(self.size).map_or(left, |size| size.min(left));
                taken += data;
                self.size -= data as u64;
                if self.size == 0 {
                    self.at = At::DataCarriageReturn;
                }
                continue;
            }
            taken += 1;
            self.at = self.step(*byte);
            if matches!(self.at, At::End) {
                return (taken, true);
            }
        }
        (taken, false)
    }

    /// The place after this byte, which is no data.
    fn step(&mut self, byte: u8) -> At {
        match (self.at, byte) {
            (At::SizeFirst, _) => match digit(byte) {
                Some(digit) => {
                    self.size = digit;
                    At::SizeRest
                }
                None => At::End,
            },
            (At::SizeRest | At::SizeBlank, b' ' | b'\t') => At::SizeBlank,
            (At::SizeRest | At::SizeBlank, b';') => At::Extension,
            (At::SizeRest | At::SizeBlank | At::Extension, b'\r') => At::SizeLineFeed,
            (At::SizeRest, _) => {
                let size = self.size.checked_mul(16);
                match digit(byte).and_then(|digit| size?.checked_add(digit)) {
                    Some(size) => {
                        self.size = size;
                        At::SizeRest
                    }
                    None => At::End,
                }
            }
            (At::Extension, 0x00..=0x08 | 0x0a..=0x1f | 0x7f) => At::End,
            (At::Extension, _) => At::Extension,
            (At::SizeLineFeed, b'\n') if self.size > 0 => At::Data,
            (At::SizeLineFeed | At::TrailerLineFeed, b'\n') => At::EndCarriageReturn,
            (At::DataCarriageReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::SizeFirst,
            (At::Trailer, b'\r') => At::TrailerLineFeed,
            (At::EndCarriageReturn, b'\r') => At::EndLineFeed,
            (At::Trailer | At::EndCarriageReturn, _) => At::Trailer,
            (
                At::SizeBlank
                | At::SizeLineFeed
                | At::Data
                | At::DataCarriageReturn
                | At::DataLineFeed
                | At::TrailerLineFeed
                | At::EndLineFeed
                | At::End,
                _,
            ) => At::End,
        }
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}
