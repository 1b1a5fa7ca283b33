//! Rejects terms of the old dialect.

/// Words of the old dialect; one that ends in `*` stands for all words that begin so.
const WORDS: [&str; 22] = [
    "door",
    "doors",
    "lane",
    "lanes",
    "grave",
    "graves",
    "fate",
    "fates",
    "park",
    "parked",
    "parking",
    "withdraw*",
    "wish",
    "wishes",
    "poison*",
    "party",
    "parties",
    "papers",
    "lately",
    "mend",
    "mended",
    "mending",
];

/// Phrases of the old dialect.
const PHRASES: [&str; 4] = ["set aside", "sets aside", "turn away", "turned away"];

/// Phrases in which such a word is right.
const ACCEPTED: [(&str, &str); 6] = [
    ("third-party", "a usual term"),
    ("third party", "a usual term"),
    ("third parties", "a usual term"),
    ("PoisonError", "a type of the standard library"),
    ("is_poisoned", "a method of the standard library"),
    ("park_timeout", "a function of the standard library"),
];

/// The words of the dialect in a line. Names in snake case and camel case are split into words.
pub(crate) fn words_in(line: &str) -> Vec<String> {
    let mut line = line.to_owned();
    for (phrase, _) in ACCEPTED {
        line = line.replace(phrase, "");
    }
    let words = split(&line);
    let text = words.join(" ");
    let phrases = PHRASES.iter().filter(|phrase| text.contains(**phrase));
    let phrases: Vec<String> = phrases.map(|phrase| (*phrase).to_owned()).collect();
    let words = words
        .into_iter()
        .filter(|word| WORDS.iter().any(|known| is(word, known)));
    words.chain(phrases).collect()
}

fn is(word: &str, known: &str) -> bool {
    match known.strip_suffix('*') {
        Some(begin) => word.starts_with(begin),
        None => word == known,
    }
}

/// Lower-case words of ASCII letters.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut before) = (Vec::new(), String::new(), ' ');
    for letter in line.chars().chain([' ']) {
        let begins = letter.is_ascii_uppercase() && before.is_ascii_lowercase();
        if (begins || !letter.is_ascii_alphabetic()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_ascii_alphabetic() {
            word.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_prose_and_in_names() {
        for (line, found) in [
            ("a message in the first lane", &["lane"][..]),
            ("Parked, and a wish", &["parked", "wish"]),
            ("fn parked_total(PoisonQueue)", &["parked", "poison"]),
            ("withdrawn by two parties", &["withdrawn", "parties"]),
            ("it is set aside", &["set aside"]),
            ("explanation of the planet's fatetest wishbone", &[]),
            ("a third-party library; PoisonError::into_inner", &[]),
        ] {
            assert_eq!(words_in(line), found, "{line}");
        }
    }
}
