//! The languages of the console, and which one a reader gets.

/// A language of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageLanguage {
    English,
    Chinese,
}

impl PageLanguage {
    /// The tag in cookies and links.
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        [Self::English, Self::Chinese]
            .into_iter()
            .find(|language| language.tag() == tag)
    }

    /// The language that a browser prefers, by its `Accept-PageLanguage` (RFC 9110, section 12.5.4).
    pub(super) fn of_accept(header: &str) -> Self {
        let mut best = (Self::English, 0.0);
        // Longer headers are nobody's.
        for range in header.split(',').take(20) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let quality = parts.find_map(|part| part.trim().strip_prefix("q="));
            let quality = quality.map_or(1.0, |text| text.trim().parse().unwrap_or(0.0));
            let primary = tag.split('-').next().unwrap_or_default();
            let known = Self::of_tag(&primary.to_ascii_lowercase());
            if let Some(language) = known
                && quality > best.1
            {
                best = (language, quality);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_chooses_and_english_is_the_default() {
        for (header, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", PageLanguage::Chinese),
            ("ZH-hant", PageLanguage::Chinese),
            ("en-GB,en;q=0.9,zh;q=0.8", PageLanguage::English),
            ("de,zh;q=0.3,en;q=0.2", PageLanguage::Chinese),
            ("de", PageLanguage::English),
            ("zh;q=0", PageLanguage::English),
            ("zh;q=x", PageLanguage::English),
            ("", PageLanguage::English),
        ] {
            assert_eq!(PageLanguage::of_accept(header), expected, "{header}");
        }
    }
}
