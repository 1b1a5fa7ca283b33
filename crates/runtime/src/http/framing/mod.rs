//! Finds where a request ends in the bytes of a connection.
//!
//! actix decodes every request that it is given, before it answers the first. So a connection gives
//! it one request at a time, and has to know where each one ends. A head ends with an empty line. Its
//! body is as long as the head says: a plain `Content-Length` is read here, and everything else is
//! what actix makes of the head.

mod chunks;
#[cfg(test)]
mod tests;

use chunks::ChunkScanner;

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// It has none.
    None,
    /// This many bytes.
    Length(u64),
    /// It ends with its last chunk.
    Chunked,
}

/// What a connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has arrived since the last request.
    Idle,
    /// A head that is incomplete.
    Head,
    /// Nothing: how the body is framed is not known yet.
    HeadComplete,
    /// A body that is incomplete.
    Body,
    /// Nothing: the request is complete.
    Complete,
}

/// The part of some bytes that may be given to the HTTP parser now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Empty lines before a head, which are dropped.
    pub(super) skipped: usize,
    /// The bytes of the current request that follow them. The rest belongs to a later request.
    pub(super) passed: usize,
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct RequestFramer {
    state: State,
    heads: u64,
}

#[derive(Debug)]
enum State {
    /// Before the first byte of a head; `expected` after an empty line.
    Idle {
        expected: bool,
    },
    Head(Line),
    HeadComplete,
    Length(u64),
    Chunked(ChunkScanner),
    Complete,
}

/// What stands in the current line of a head so far.
#[derive(Clone, Copy, Debug)]
enum Line {
    Empty,
    CarriageReturn,
    Text,
}

impl RequestFramer {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Idle { expected: false },
            heads: 0,
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        match self.state {
            State::Idle { expected: false } => Phase::Idle,
            State::Idle { expected: true } | State::Head(_) => Phase::Head,
            State::HeadComplete => Phase::HeadComplete,
            State::Length(_) | State::Chunked(_) => Phase::Body,
            State::Complete => Phase::Complete,
        }
    }

    /// How many heads are complete.
    pub(super) const fn heads(&self) -> u64 {
        self.heads
    }

    /// Takes the bytes that belong to the current request.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> Admitted {
        let mut skipped = 0;
        let mut whole_head = false;
        if matches!(self.state, State::Idle { .. }) {
            let text = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
            skipped = text.unwrap_or(bytes.len());
            if skipped < bytes.len() {
                self.state = State::Head(Line::Empty);
                whole_head = true;
            }
        }
        let mut end = skipped;
        if let State::Head(line) = &mut self.state {
            match end_of_head(line, &bytes[end..]) {
                None => end = bytes.len(),
                Some(length) => {
                    let head = &bytes[end..end + length];
                    let framing = whole_head.then(|| plain_framing(head)).flatten();
                    end += length;
                    self.heads += 1;
                    self.state = framing.map_or(State::HeadComplete, State::from);
                }
            }
        }
        end += self.admit_body(&bytes[end..]);
        Admitted {
            skipped,
            passed: end - skipped,
        }
    }

    fn admit_body(&mut self, bytes: &[u8]) -> usize {
        let (taken, complete) = match &mut self.state {
            State::Length(left) => {
                let taken =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                (taken, *left == 0)
            }
            State::Chunked(scanner) => scanner.admit(bytes),
            State::Idle { .. } | State::Head(_) | State::HeadComplete | State::Complete => {
                return 0;
            }
        };
        if complete {
            self.state = State::Complete;
        }
        taken
    }

    /// actix has decoded the head. Has no effect if its end is known already.
    pub(super) fn set_framing(&mut self, framing: BodyFraming) {
        if matches!(self.state, State::HeadComplete) {
            self.state = State::from(framing);
        }
    }

    /// An empty line has arrived at an idle connection: a head is expected.
    pub(super) fn expect_head(&mut self) {
        if matches!(self.state, State::Idle { .. }) {
            self.state = State::Idle { expected: true };
        }
    }

    /// The request has been answered: the next one may begin.
    pub(super) fn next_request(&mut self) {
        self.state = State::Idle { expected: false };
    }
}

impl From<BodyFraming> for State {
    fn from(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::None | BodyFraming::Length(0) => Self::Complete,
            BodyFraming::Length(length) => Self::Length(length),
            BodyFraming::Chunked => Self::Chunked(ChunkScanner::new()),
        }
    }
}

/// The length of the head, if its empty line is in these bytes.
fn end_of_head(line: &mut Line, bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let whole = line.with(&bytes[at..at + length]);
        at += length + 1;
        match whole {
            Line::Empty | Line::CarriageReturn => return Some(at),
            Line::Text => *line = Line::Empty,
        }
    }
    *line = line.with(&bytes[at..]);
    None
}

impl Line {
    fn with(self, more: &[u8]) -> Self {
        match (self, more) {
            (line, []) => line,
            (Self::Empty, b"\r") => Self::CarriageReturn,
            _ => Self::Text,
        }
    }
}

/// The framing of a head that leaves no doubt: no transfer coding, and at most one plain length.
fn plain_framing(head: &[u8]) -> Option<BodyFraming> {
    let mut framing = BodyFraming::None;
    for line in head.split(|byte| *byte == b'\n') {
        let name_length = match line.first() {
            Some(b'c' | b'C') => "content-length".len(),
            Some(b't' | b'T') => "transfer-encoding".len(),
            _ => continue,
        };
        let Some((name, value)) = line.split_at_checked(name_length) else {
            continue;
        };
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return None;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value.strip_prefix(b":")?.trim_ascii();
            let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let text = str::from_utf8(digits).ok().filter(|_| plain)?;
            if framing != BodyFraming::None {
                return None;
            }
            framing = BodyFraming::Length(text.parse().ok()?);
        }
    }
    Some(framing)
}
