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

/// Markdown as plain text: links become their texts; signs of emphasis go.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((name, after)) = link.split_once("](") else {
            break;
        };
        let Some((_, after)) = after.split_once(')') else {
            break;
        };
        text.push_str(before);
        text.push_str(name);
        rest = after;
    }
    text.push_str(rest);
    text = text
        .replace("*secret*", "Secret.")
        .replace("*reload*", "Reloaded.");
    text.replace("**", "")
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
    }
}
