//! The language of an answer's sentence, from `Accept-Language`.

/// The language of an answer's `msg`. Codes never change with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// The original contract's, and the default.
    #[default]
    Chinese,
    /// On request.
    English,
}

impl Language {
    /// Parses an `Accept-Language` header (RFC 9110, section 12.5.4): English if `en` has a higher
    /// `q` than `zh`, or the same `q` and comes first. Anything else, including `*` and malformed
    /// headers, is Chinese.
    pub fn from_accept_language(header: Option<&str>) -> Self {
        let mut english = 0.0;
        let mut chinese = 0.0;
        let mut first = None;
        for range in header.unwrap_or_default().split(',') {
            let Some((language, quality)) = language_range(range) else {
                continue;
            };
            let best = match language {
                Self::English => &mut english,
                Self::Chinese => &mut chinese,
            };
            *best = quality.max(*best);
            first = first.or(Some(language));
        }
        if english > chinese || (english == chinese && first == Some(Self::English)) {
            Self::English
        } else {
            Self::Chinese
        }
    }
}

/// One range of the header, such as `en-GB;q=0.8`, if its language is supported.
fn language_range(range: &str) -> Option<(Language, f32)> {
    let (tag, parameters) = range.split_once(';').unwrap_or((range, "q=1"));
    let primary = tag.split('-').next().unwrap_or_default().trim();
    let language = if primary.eq_ignore_ascii_case("en") {
        Language::English
    } else if primary.eq_ignore_ascii_case("zh") {
        Language::Chinese
    } else {
        return None;
    };
    let parameters = parameters.trim();
    let quality = parameters
        .strip_prefix("q=")
        .or_else(|| parameters.strip_prefix("Q="))?;
    let quality: f32 = quality.trim().parse().ok()?;
    // q=0 means "not acceptable"; anything else outside 0 to 1 is malformed.
    (quality > 0.0 && quality <= 1.0).then_some((language, quality))
}

#[cfg(test)]
mod tests {
    use super::Language::{self, Chinese, English};

    #[test]
    fn english_is_used_only_if_it_is_preferred() {
        for (header, language) in [
            ("en", English),
            ("EN-us", English),
            ("en-US,en;q=0.9,zh-CN;q=0.8", English),
            ("fr, en;q=0.3", English),
            ("zh;q=0.2, en;q=0.3", English),
            ("en, zh", English),
            ("en;q=1.0 , *", English),
            ("en ; q=0.5", English),
            ("zh;q=0, en;q=0.1", English),
            ("", Chinese),
            ("*", Chinese),
            ("fr", Chinese),
            ("zh", Chinese),
            ("zh-CN,zh;q=0.9,en;q=0.8", Chinese),
            ("zh, en", Chinese),
            ("en;q=0.5, zh;q=0.6", Chinese),
            ("en;q=0", Chinese),
            ("en;q=NaN", Chinese),
            ("en;q=inf", Chinese),
            ("en;q=7", Chinese),
            ("en;q=", Chinese),
            ("eng", Chinese),
            (";;,,--", Chinese),
        ] {
            assert_eq!(
                Language::from_accept_language(Some(header)),
                language,
                "{header}"
            );
        }
        assert_eq!(Language::from_accept_language(None), Chinese);
    }
}
