//! Finds type names that are defined more than once.

use std::collections::BTreeMap;

use crate::source::code;

/// An alias of this name stands for the result type of its module.
const EXEMPT: [&str; 1] = ["Result"];

/// The names of the types that a file defines and that are visible outside of it.
pub(crate) fn visible_types(source: &str) -> Vec<String> {
    let code = code(source).replace("pub(in ", "pub(in_");
    let words: Vec<&str> = code
        .split(|letter: char| letter.is_whitespace() || ";{}<>".contains(letter))
        .filter(|word| !word.is_empty())
        .collect();
    let named = words.windows(3).filter_map(|three| match three {
        [
            visibility,
            "struct" | "enum" | "trait" | "type" | "union",
            name,
        ] if *visibility == "pub" || visibility.starts_with("pub(") => {
            let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            Some(name[..end.unwrap_or(name.len())].to_owned())
        }
        _ => None,
    });
    named.filter(|name| !EXEMPT.contains(&&**name)).collect()
}

/// Names that more than one file defines, with those files.
pub(crate) fn duplicates<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, Vec<&'a str>> {
    let mut defined = BTreeMap::<String, Vec<&str>>::new();
    for (file, source) in files {
        for name in visible_types(source) {
            defined.entry(name).or_default().push(file);
        }
    }
    defined.retain(|_, files| files.len() > 1);
    defined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_types_are_found_and_private_and_test_types_are_not() {
        let source = "
            pub struct A; pub(crate) enum B<T> { C(T) } pub(in crate::x) trait D: E {}
            pub type F<T> = Option<T>; pub type Result<T> = Option<T>; pub struct G(u8);
            struct Private; impl A { type Item = u8; } // pub struct Comment;
            #[cfg(test)] mod tests { pub struct InTests; }
        ";
        assert_eq!(visible_types(source), ["A", "B", "D", "F", "G"]);
    }

    #[test]
    fn a_name_in_two_files_is_a_duplicate() {
        let files = [
            ("a.rs", "pub struct State; pub struct Once;"),
            ("b.rs", "pub(crate) enum State {}"),
        ];
        let found = duplicates(files);
        assert_eq!(found.len(), 1);
        assert_eq!(found["State"], ["a.rs", "b.rs"]);
    }
}
