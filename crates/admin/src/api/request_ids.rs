//! Ids of callbacks as people write them: whole, or their first digits.
//!
//! The first digits of an id are a time (UUID version 7), so the callbacks of one moment share them. They
//! are enough for reading; what changes something takes whole ids.

use journal::Journal;
use uuid::Uuid;

use super::error::{ApiError, ProblemCode};
use crate::doctor::said::{Said, say};

/// The fewest digits of a beginning: a minute of ids shares them.
const MIN_DIGITS: usize = 8;
/// The digits of a whole id.
const ALL_DIGITS: usize = 32;
/// Where the hyphens of an id stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// How many ids an error lists.
const MAX_CANDIDATES: u32 = 10;

/// An id as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WrittenId {
    /// All of it.
    Whole(Uuid),
    /// Its first digits.
    Beginning(IdBeginning),
}

/// The first digits of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdBeginning {
    written: String,
    first: Uuid,
    last: Uuid,
}

impl WrittenId {
    /// Reads an id, or at least its first eight digits.
    ///
    /// # Errors
    /// A sentence that says how an id is written.
    pub(crate) fn parse(text: &str) -> Result<Self, Said> {
        if let Ok(id) = Uuid::try_parse(text) {
            return Ok(Self::Whole(id));
        }
        match IdBeginning::parse(text) {
            Some(beginning) => Ok(Self::Beginning(beginning)),
            None => {
                let shown: String = text.chars().take(50).collect();
                Err(say!(
                    "{shown:?} is not a request_id: write one as 01a20a25-46b9-7361-a013-9bc3295ebef1, \
                     or at least its first {MIN_DIGITS} digits",
                    "{shown:?} 不是 request_id：请写成 01a20a25-46b9-7361-a013-9bc3295ebef1，\
                     或至少写出前 {MIN_DIGITS} 位"
                ))
            }
        }
    }
}

impl WrittenId {
    /// The id of what is to be changed.
    ///
    /// # Errors
    /// Those of [`WrittenId::parse`], and a sentence about an id that is not whole.
    pub(crate) fn of_act(text: &str) -> Result<Uuid, ApiError> {
        match Self::parse(text).map_err(ApiError::parameter)? {
            Self::Whole(id) => Ok(id),
            Self::Beginning(IdBeginning { written, .. }) => Err(ApiError::parameter(say!(
                "an act needs the whole request_id: GET /admin/v1/callbacks/{written} shows the one that \
                 begins like this",
                "操作需要完整的 request_id：GET /admin/v1/callbacks/{written} 可查到以此开头的那一个"
            ))),
        }
    }

    /// The id; the journal is asked for the rest of it, if that is missing.
    ///
    /// # Errors
    /// No callback's id begins like this, or several do: then the first of them are listed.
    pub(super) async fn resolve(self, journal: &Journal) -> Result<Uuid, ApiError> {
        match self {
            Self::Whole(id) => Ok(id),
            Self::Beginning(beginning) => beginning.resolve(journal).await,
        }
    }
}

impl IdBeginning {
    fn parse(text: &str) -> Option<Self> {
        let is_placed = |(at, byte): (usize, u8)| {
            byte.is_ascii_hexdigit() || byte == b'-' && HYPHENS.contains(&at)
        };
        if !text.bytes().enumerate().all(is_placed) {
            return None;
        }
        let digits = text.replace('-', "");
        if !(MIN_DIGITS..ALL_DIGITS).contains(&digits.len()) {
            return None;
        }
        let filled = |with: char| {
            let rest = ALL_DIGITS - digits.len();
            let rest = std::iter::repeat_n(with, rest);
            let whole: String = digits.chars().chain(rest).collect();
            Uuid::try_parse(&whole).ok()
        };
        Some(Self {
            first: filled('0')?,
            last: filled('f')?,
            written: text.to_ascii_lowercase(),
        })
    }

    /// The ids that begin like this, in order, at most `limit`.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn candidates(
        &self,
        journal: &Journal,
        limit: u32,
    ) -> Result<Vec<Uuid>, ApiError> {
        let found = journal.ids_between(self.first, self.last, limit).await?;
        match found.is_empty() {
            false => Ok(found),
            true => Err(ApiError::rejected(
                ProblemCode::UnknownCallback,
                say!(
                    "the journal knows no callback whose request_id begins with {0}",
                    "回调记录库中没有 request_id 以 {0} 开头的回调",
                    self.written
                ),
            )),
        }
    }

    /// The one callback whose id begins like this.
    async fn resolve(&self, journal: &Journal) -> Result<Uuid, ApiError> {
        let most = MAX_CANDIDATES + 1;
        let found = self.candidates(journal, most).await?;
        match found.as_slice() {
            [id] => Ok(*id),
            several => {
                let listed = usize::try_from(MAX_CANDIDATES).unwrap_or(usize::MAX);
                let ids: Vec<String> = several.iter().take(listed).map(Uuid::to_string).collect();
                let more = match several.len() > listed {
                    true => " and more",
                    false => "",
                };
                Err(ApiError::parameter(say!(
                    "several request_ids begin with {0}: {1}{more}; write more digits",
                    "有多个 request_id 以 {0} 开头：{1}{more}；请多写几位",
                    self.written,
                    ids.join(", ")
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a20a25-46b9-7361-a013-9bc3295ebef1";

    #[test]
    fn an_id_is_read_whole_or_by_its_first_digits() {
        let whole = Uuid::try_parse(ID).unwrap();
        assert_eq!(WrittenId::parse(ID), Ok(WrittenId::Whole(whole)));
        for (text, first, last) in [
            (
                "01A20A25",
                "01a20a25-0000-0000-0000-000000000000",
                "01a20a25-ffff-ffff-ffff-ffffffffffff",
            ),
            (
                "01a20a25-46b9-7",
                "01a20a25-46b9-7000-0000-000000000000",
                "01a20a25-46b9-7fff-ffff-ffffffffffff",
            ),
            (
                "01a20a2546b97361a0139bc3295ebef",
                "01a20a25-46b9-7361-a013-9bc3295ebef0",
                "01a20a25-46b9-7361-a013-9bc3295ebeff",
            ),
        ] {
            let Ok(WrittenId::Beginning(beginning)) = WrittenId::parse(text) else {
                panic!("{text}");
            };
            assert_eq!(beginning.first.to_string(), first, "{text}");
            assert_eq!(beginning.last.to_string(), last, "{text}");
        }
    }

    #[test]
    fn an_act_takes_a_whole_id_alone() {
        let whole = Uuid::try_parse(ID).unwrap();
        assert_eq!(WrittenId::of_act(ID), Ok(whole));
        let error = WrittenId::of_act("01A20A25-46b9").unwrap_err().to_string();
        let sentence =
            "an act needs the whole request_id: GET /admin/v1/callbacks/01a20a25-46b9 shows";
        assert!(error.contains(sentence), "{error}");
        let error = WrittenId::of_act("x").unwrap_err().to_string();
        assert!(error.contains("is not a request_id"), "{error}");
    }

    #[test]
    fn what_is_not_an_id_is_answered_with_how_one_is_written() {
        let long = "f".repeat(400);
        for text in [
            "",
            "7",
            "01a20a2",
            "01a20a2-5",
            "-1a20a25",
            "01a20a2g",
            "../../x",
            &long,
        ] {
            let sentence = WrittenId::parse(text).unwrap_err().to_string();
            assert!(
                sentence.contains("is not a request_id: write one as 01a2"),
                "{sentence}"
            );
            assert!(
                sentence.ends_with("at least its first 8 digits"),
                "{sentence}"
            );
            assert!(sentence.len() < 200, "{sentence}");
        }
    }
}
