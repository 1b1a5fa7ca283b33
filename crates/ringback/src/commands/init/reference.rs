//! The reference of the settings: read from its page, so that there is one text for both.

/// The page, as it is published.
const PAGE: &str = include_str!("../../../../../docs/reference/configuration.md");

/// One row of its tables: one key, or several that are explained together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReferenceEntry {
    /// Dotted, with placeholders: `apps.ID.keys`.
    pub(super) keys: Vec<String>,
    /// In words.
    pub(super) default: String,
    pub(super) meaning: String,
}

/// All rows, in the order of the page.
pub(super) fn entries() -> Vec<ReferenceEntry> {
    PAGE.lines().filter_map(entry).collect()
}

fn entry(line: &str) -> Option<ReferenceEntry> {
    let row = line.strip_prefix("| `")?.strip_suffix(" |")?;
    let mut cells = row.splitn(3, " | ");
    let (keys, default, meaning) = (cells.next()?, cells.next()?, cells.next()?);
    let keys = keys.split('`').step_by(2);
    Some(ReferenceEntry {
        keys: keys
            .filter(|key| !key.is_empty())
            .map(str::to_owned)
            .collect(),
        default: plain(default),
        meaning: plain(meaning),
    })
}

/// Markdown as plain text: links become their texts; signs of emphasis go. Code stays as it is.
fn plain(markdown: &str) -> String {
    let mut parts = Vec::new();
    for (place, part) in markdown.split('`').enumerate() {
        let is_code = place % 2 == 1;
        parts.push(if is_code {
            part.to_owned()
        } else {
            without_emphasis(part)
        });
    }
    without_links(&parts.join("`"))
}

fn without_emphasis(text: &str) -> String {
    text.replace("*secret*", "Secret.")
        .replace("*reload*", "Reloaded.")
        .replace("**", "")
}

/// A link's text may hold code, and code may hold a bracket that begins no link.
fn without_links(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        text.push_str(before);
        let is_code = text.matches('`').count() % 2 == 1;
        let named = link
            .split_once("](")
            .filter(|(name, _)| !name.contains('['));
        match named.and_then(|(name, after)| Some((name, after.split_once(')')?.1))) {
            Some((name, after)) if !is_code => {
                text.push_str(name);
                rest = after;
            }
            _ => {
                text.push('[');
                rest = link;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_read_row_by_row() {
        let all = entries();
        assert!(all.len() > 60, "{}", all.len());
        let url = &all[0];
        assert_eq!(
            (&*url.keys, &*url.default),
            (&["broker.url".to_owned()][..], "none")
        );
        assert!(
            url.meaning.starts_with("Secret. RabbitMQ, for `ingress`"),
            "{}",
            url.meaning
        );
        let two = all.iter().find(|entry| entry.keys.len() == 2).unwrap();
        assert_eq!(two.keys, ["broker.cert_file", "broker.key_file"]);
        for entry in all {
            let text = format!("{} {}", entry.default, entry.meaning);
            assert!(!text.contains("]("), "{text}");
            for pair in [['[', ']'], ['(', ')']] {
                let [open, close] = pair.map(|sign| text.matches(sign).count());
                assert_eq!(open, close, "{text}");
            }
            assert_eq!(text.matches('`').count() % 2, 0, "{text}");
            assert!(entry.keys.iter().all(|key| key.contains('.')), "{entry:?}");
        }
    }

    #[test]
    fn links_become_their_texts() {
        let markdown = "*secret* See [a page](x.md#y) and [RFC 1](http://z), **never** `[x]`.";
        assert_eq!(
            plain(markdown),
            "Secret. See a page and RFC 1, never `[x]`."
        );
        let markdown =
            "By pointer: `[\"*:/a\"]`. They are `***` in the [view of `x`](y.md) and its API.";
        assert_eq!(
            plain(markdown),
            "By pointer: `[\"*:/a\"]`. They are `***` in the view of `x` and its API."
        );
    }
}
