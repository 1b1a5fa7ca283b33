//! Finds import cycles between the files of a crate.
//!
//! A file imports another one when its code names an item of it, by `use` or by a path. A re-export
//! of a descendant (`pub use child::Item`) is not an import, and an import of a re-exported item
//! counts as an import of the file that defines it. Test code is ignored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::code;

/// An edge that is accepted, because one side is an enum over the adapters on the other side.
pub(crate) struct Accepted {
    /// The importing file, relative to the crate's `src`.
    pub(crate) from: &'static str,
    /// The beginning of the imported files.
    pub(crate) to: &'static str,
}

impl Accepted {
    fn is(&self, from: &Path, to: &Path) -> bool {
        from == Path::new(self.from) && to.to_string_lossy().starts_with(self.to)
    }
}

/// A module of a crate.
#[derive(Debug, Default)]
struct Module {
    /// Relative to the directory of the root file. Inline modules have the file around them.
    file: PathBuf,
    children: BTreeSet<String>,
    /// Names that `use` brings into the module, with their absolute paths.
    aliases: BTreeMap<String, Vec<String>>,
    /// Absolute paths of modules whose names are all imported.
    globs: Vec<Vec<String>>,
    /// Names of the items that are defined here.
    items: BTreeSet<String>,
    /// Absolute paths that the code names; true for a re-export.
    paths: Vec<(Vec<String>, bool)>,
}

/// The modules of a crate, by their path from its root.
pub(crate) struct ModuleTree(BTreeMap<Vec<String>, Module>);

/// Files in the order of imports; the last one imports the first one.
pub(crate) type Cycle = Vec<PathBuf>;

impl ModuleTree {
    /// Reads a crate from its root file.
    pub(crate) fn read(root_file: &Path) -> Self {
        let directory = root_file.parent().unwrap();
        let mut tree = Self(BTreeMap::new());
        let name = PathBuf::from(root_file.file_name().unwrap());
        tree.read_file(directory, &name, Path::new(""), Vec::new());
        tree
    }

    fn read_file(&mut self, source: &Path, file: &Path, submodules: &Path, path: Vec<String>) {
        let text = fs::read_to_string(source.join(file)).unwrap();
        self.read_module(source, file, submodules, path, &tokens(&code(&text)));
    }

    fn read_module(
        &mut self,
        source: &Path,
        file: &Path,
        submodules: &Path,
        path: Vec<String>,
        tokens: &[String],
    ) {
        let mut module = Module {
            file: file.to_owned(),
            ..Module::default()
        };
        // Declarations first: a path may begin with a child that is declared below it.
        for declared in declarations(tokens) {
            let name = declared.name.clone();
            module.children.insert(name.clone());
            let child = [&path[..], std::slice::from_ref(&name)].concat();
            let below = submodules.join(&name);
            match declared.body {
                Some(body) => self.read_module(source, file, &below, child, &tokens[body]),
                None => {
                    let flat = submodules.join(format!("{name}.rs"));
                    let page = below.join("mod.rs");
                    let found = [flat, page].into_iter().find(|it| source.join(it).exists());
                    // A module that is compiled on another system only may be absent.
                    if let Some(found) = found {
                        self.read_file(source, &found, &below, child);
                    }
                }
            }
        }
        module.read(&path, &without_inline_modules(tokens));
        self.0.insert(path, module);
    }

    /// The file that defines the item at an absolute path.
    fn resolve(&self, path: &[String]) -> Option<&Path> {
        self.resolve_within(path, 16)
    }

    fn resolve_within(&self, path: &[String], depth: usize) -> Option<&Path> {
        let depth = depth.checked_sub(1)?;
        let length = (0..=path.len())
            .rev()
            .find(|length| self.0.contains_key(&path[..*length]))?;
        let module = &self.0[&path[..length]];
        let Some(name) = path.get(length) else {
            return Some(&module.file);
        };
        if module.items.contains(name) {
            return Some(&module.file);
        }
        if let Some(target) = module.aliases.get(name) {
            let target = [target, &path[length + 1..]].concat();
            // An item of another crate belongs to no file of this one.
            return self.resolve_within(&target, depth);
        }
        let through_glob = module.globs.iter().find_map(|glob| {
            let target = [glob, &path[length..]].concat();
            let defines = self.0.get(glob)?;
            let known = defines.items.contains(name)
                || defines.children.contains(name)
                || defines.aliases.contains_key(name)
                || !defines.globs.is_empty();
            known.then(|| self.resolve_within(&target, depth)).flatten()
        });
        Some(through_glob.unwrap_or(&module.file))
    }

    /// The imports between files, without re-exports of descendants.
    fn edges(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut edges = BTreeMap::<&Path, BTreeSet<&Path>>::new();
        for (own_path, module) in &self.0 {
            let imported = edges.entry(&module.file).or_default();
            for (path, re_export) in &module.paths {
                if *re_export && path.starts_with(own_path) {
                    continue;
                }
                if let Some(file) = self.resolve(path)
                    && file != module.file
                {
                    imported.insert(file);
                }
            }
        }
        edges
    }

    /// One cycle, the shortest, of each group of files that import each other.
    pub(crate) fn cycles(&self, accepted: &[Accepted]) -> Vec<Cycle> {
        let mut edges = self.edges();
        for (from, to) in &mut edges {
            to.retain(|to| !accepted.iter().any(|it| it.is(from, to)));
        }
        let mut cycles: Vec<Cycle> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut found: Vec<Cycle> = edges
            .keys()
            .filter_map(|file| shortest_cycle(&edges, file))
            .collect();
        found.sort_by_key(Vec::len);
        for cycle in found {
            if cycle.iter().all(|file| !seen.contains(file)) {
                seen.extend(cycle.iter().cloned());
                cycles.push(cycle);
            }
        }
        cycles
    }

    /// Whether an accepted edge exists: an obsolete one should be removed.
    pub(crate) fn has(&self, accepted: &Accepted) -> bool {
        let edges = self.edges();
        let mut edges = edges.iter();
        edges.any(|(from, to)| to.iter().any(|to| accepted.is(from, to)))
    }
}

/// The shortest way from a file back to itself.
fn shortest_cycle(edges: &BTreeMap<&Path, BTreeSet<&Path>>, start: &Path) -> Option<Cycle> {
    let mut before = BTreeMap::<&Path, &Path>::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in edges.get(file).into_iter().flatten() {
            if *next == start {
                let mut cycle = vec![file.to_owned()];
                let mut at = file;
                while at != start {
                    at = before[at];
                    cycle.push(at.to_owned());
                }
                cycle.reverse();
                return Some(cycle);
            }
            if !before.contains_key(next) {
                before.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

impl Module {
    fn read(&mut self, own_path: &[String], tokens: &[String]) {
        let mut at = 0;
        let mut body = Vec::new();
        let mut public = false;
        while at < tokens.len() {
            match &*tokens[at] {
                // `use<'a>` is a capture, not an import.
                "use" if tokens.get(at + 1).is_none_or(|next| next != "<") => {
                    let end = at + position(&tokens[at..], ";");
                    self.read_use(own_path, &tokens[at + 1..end], public);
                    at = end;
                }
                "pub" => {
                    public = true;
                    if tokens.get(at + 1).is_some_and(|next| next == "(") {
                        at += position(&tokens[at..], ")");
                    }
                    at += 1;
                    continue;
                }
                "struct" | "enum" | "trait" | "type" | "fn" | "const" | "static" | "union" => {
                    self.items.extend(tokens.get(at + 1).cloned());
                }
                _ => {}
            }
            public = false;
            body.push(&*tokens[at]);
            at += 1;
        }
        self.read_paths(own_path, &body);
    }

    fn read_use(&mut self, own_path: &[String], tokens: &[String], public: bool) {
        let mut leaves = Vec::new();
        use_leaves(&mut Vec::new(), tokens, &mut leaves);
        for (path, name) in leaves {
            let Some(path) = self.absolute(own_path, &path) else {
                continue;
            };
            if name == "*" {
                self.globs.push(path.clone());
            } else if name != "_" && path != own_path {
                self.aliases.insert(name, path.clone());
            }
            self.paths.push((path, public));
        }
    }

    /// Paths in expressions and types: `crate::a::b`, `super::a`, `child::a`.
    fn read_paths(&mut self, own_path: &[String], tokens: &[&str]) {
        let mut at = 0;
        while at < tokens.len() {
            let begins = is_name(tokens[at]) && (at == 0 || tokens[at - 1] != "::");
            let mut path = vec![tokens[at].to_owned()];
            while begins && tokens.get(at + 1) == Some(&"::") {
                let Some(name) = tokens.get(at + 2).filter(|name| is_name(name)) else {
                    break;
                };
                path.push((*name).to_owned());
                at += 2;
            }
            at += 1;
            if path.len() < 2 {
                continue;
            }
            let first_is_alias = self.aliases.get(&path[0]).cloned();
            let absolute = match first_is_alias {
                Some(target) => Some([target, path[1..].to_vec()].concat()),
                None => self.absolute(own_path, &path),
            };
            self.paths.extend(absolute.map(|path| (path, false)));
        }
    }

    /// The path from the root of the crate; none for a path into another crate.
    fn absolute(&self, own_path: &[String], path: &[String]) -> Option<Vec<String>> {
        match &*path[0] {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([own_path, &path[1..]].concat()),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let above = own_path.get(..own_path.len().checked_sub(ups)?)?;
                Some([above, &path[ups..]].concat())
            }
            first if self.children.contains(first) => Some([own_path, path].concat()),
            _ => None,
        }
    }
}

/// Expands a `use` tree: each path with the name that it is bound to.
fn use_leaves(
    prefix: &mut Vec<String>,
    tokens: &[String],
    leaves: &mut Vec<(Vec<String>, String)>,
) {
    for branch in split_at_commas(tokens) {
        let length = prefix.len();
        let mut at = 0;
        let mut nested = false;
        let mut name = None;
        while at < branch.len() {
            match &*branch[at] {
                "::" => {}
                "{" => {
                    use_leaves(prefix, &branch[at + 1..branch.len() - 1], leaves);
                    nested = true;
                    break;
                }
                "as" => {
                    name = branch.get(at + 1).cloned();
                    break;
                }
                "*" => name = Some("*".to_owned()),
                part => prefix.push(part.to_owned()),
            }
            at += 1;
        }
        if !nested && prefix.len() + usize::from(name.is_some()) > length {
            let mut path = prefix.clone();
            // `a::{self}` names `a`.
            if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            let bound = name.unwrap_or_else(|| path.last().cloned().unwrap_or_default());
            leaves.push((path, bound));
        }
        prefix.truncate(length);
    }
}

fn split_at_commas(tokens: &[String]) -> Vec<&[String]> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, token) in tokens.iter().enumerate() {
        match &**token {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&tokens[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[begin..]);
    parts.retain(|part| !part.is_empty());
    parts
}

struct Declaration {
    name: String,
    /// The tokens of an inline module's body.
    body: Option<std::ops::Range<usize>>,
}

/// The modules that are declared directly in these tokens.
fn declarations(tokens: &[String]) -> Vec<Declaration> {
    let (mut found, mut depth, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        match &*tokens[at] {
            "mod" if depth == 0 && at + 2 < tokens.len() => {
                let name = tokens[at + 1].clone();
                if tokens[at + 2] == ";" {
                    found.push(Declaration { name, body: None });
                } else if tokens[at + 2] == "{" {
                    let end = at + 2 + closing(&tokens[at + 2..]);
                    let body = Some(at + 3..end);
                    found.push(Declaration { name, body });
                    at = end;
                }
            }
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    found
}

fn without_inline_modules(tokens: &[String]) -> Vec<String> {
    let mut rest = tokens.to_vec();
    let bodies = declarations(tokens).into_iter().filter_map(|it| it.body);
    for body in bodies.collect::<Vec<_>>().into_iter().rev() {
        rest.drain(body);
    }
    rest
}

/// The position of the brace that closes the first one.
fn closing(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match &**token {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len() - 1
}

fn position(tokens: &[String], wanted: &str) -> usize {
    let found = tokens.iter().position(|token| token == wanted);
    found.unwrap_or(tokens.len() - 1)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// Names, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let length = match word.unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            length => length,
        };
        let token = &rest[..length];
        // `r#type` is a name.
        tokens.push(token.to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A made-up crate, removed when dropped.
    struct MadeUp(PathBuf);

    impl MadeUp {
        fn new(files: &[(&str, &str)]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("ringback-tidy-{}-{number}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            for (file, text) in files {
                let file = directory.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            Self(directory)
        }

        fn cycles(&self, accepted: &[Accepted]) -> Vec<Vec<String>> {
            let tree = ModuleTree::read(&self.0.join("lib.rs"));
            let cycles = tree.cycles(accepted).into_iter();
            let shown = |file: PathBuf| file.display().to_string();
            cycles
                .map(|cycle| cycle.into_iter().map(shown).collect())
                .collect()
        }
    }

    impl Drop for MadeUp {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn check(files: &[(&str, &str)], expected: &[&[&str]]) {
        let found = MadeUp::new(files).cycles(&[]);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_tree_of_imports_has_no_cycle() {
        check(
            &[
                ("lib.rs", "mod a; mod b; mod c; pub use a::A;"),
                ("a.rs", "use crate::b::B; pub struct A(B);"),
                ("b.rs", "use crate::c; pub struct B(c::C);"),
                (
                    "c.rs",
                    "pub struct C; fn f<'a>() -> impl Iterator + use<'a> { a::b(); }",
                ),
            ],
            &[],
        );
    }

    #[test]
    fn the_shortest_cycle_is_found() {
        check(
            &[
                ("lib.rs", "mod a; mod b; mod c;"),
                ("a.rs", "use crate::b::B; pub struct A;"),
                ("b.rs", "pub struct B; fn f() { crate::c::g(); }"),
                (
                    "c.rs",
                    "use super::{a::A as X, b::{self, B}}; pub fn g() {}",
                ),
            ],
            &[&["b.rs", "c.rs"]],
        );
    }

    #[test]
    fn a_cycle_of_three_is_shown_in_the_order_of_imports() {
        check(
            &[
                ("lib.rs", "mod a; mod b; mod c;"),
                ("a.rs", "use crate::b::B; pub struct A;"),
                ("b.rs", "use crate::c::C; pub struct B;"),
                ("c.rs", "use crate::a::A; pub struct C;"),
            ],
            &[&["a.rs", "b.rs", "c.rs"]],
        );
    }

    #[test]
    fn a_re_export_of_a_child_is_not_an_import() {
        let page = "mod child; pub(crate) use child::Child; pub const MAX: u32 = 1;";
        let child = "use super::MAX; pub struct Child([u8; MAX as usize]);";
        check(
            &[
                ("lib.rs", "mod parent;"),
                ("parent/mod.rs", page),
                ("parent/child.rs", child),
            ],
            &[],
        );
    }

    #[test]
    fn a_child_that_uses_its_parent_is_a_cycle_if_the_parent_uses_the_child() {
        let child = "use super::MAX; pub fn f() {}";
        for page in [
            "mod child; pub const MAX: u32 = 1; fn g() { child::f(); }",
            "mod child; use child::f; pub const MAX: u32 = 1; fn g() { f(); }",
        ] {
            check(
                &[
                    ("lib.rs", "mod parent;"),
                    ("parent/mod.rs", page),
                    ("parent/child.rs", child),
                ],
                &[&["parent/child.rs", "parent/mod.rs"]],
            );
        }
    }

    #[test]
    fn a_re_exported_item_counts_for_the_file_that_defines_it() {
        for page in [
            "mod child; mod other; pub use child::Child;",
            "mod child; mod other; pub use child::*;",
        ] {
            check(
                &[
                    ("lib.rs", "mod parent; mod user;"),
                    ("parent/mod.rs", page),
                    ("parent/child.rs", "pub struct Child(crate::user::User);"),
                    ("parent/other.rs", "pub struct Other(crate::user::User);"),
                    ("user.rs", "use crate::parent::Child; pub struct User;"),
                ],
                &[&["parent/child.rs", "user.rs"]],
            );
        }
    }

    #[test]
    fn test_code_comments_and_other_crates_are_ignored() {
        check(
            &[
                ("lib.rs", "mod a; mod b;"),
                (
                    "a.rs",
                    "use std::b::B; // crate::b\n#[cfg(test)] mod tests { use crate::b::B; }\n\
                     #[cfg(test)] mod more;\npub struct A;",
                ),
                ("a/more.rs", "use crate::b::B;"),
                ("b.rs", "use crate::a::A; const T: &str = \"crate::b\";"),
            ],
            &[],
        );
    }

    #[test]
    fn an_inline_module_belongs_to_its_file() {
        check(
            &[
                ("lib.rs", "mod a; mod b;"),
                (
                    "a.rs",
                    "pub mod inner { pub struct A; } use self::inner::A;",
                ),
                ("b.rs", "use crate::a::inner::A;"),
            ],
            &[],
        );
    }

    #[test]
    fn an_accepted_edge_is_no_part_of_a_cycle_and_is_known_to_exist() {
        let files = [
            ("lib.rs", "mod broker; mod adapter;"),
            (
                "broker.rs",
                "use crate::adapter::Adapter; pub enum Broker { One(Adapter) }",
            ),
            (
                "adapter.rs",
                "use crate::broker::Broker; pub struct Adapter;",
            ),
        ];
        let made_up = MadeUp::new(&files);
        let accepted = |to| Accepted {
            from: "broker.rs",
            to,
        };
        assert_eq!(made_up.cycles(&[]).len(), 1);
        assert_eq!(made_up.cycles(&[accepted("adapter")]).len(), 0);
        let tree = ModuleTree::read(&made_up.0.join("lib.rs"));
        assert!(tree.has(&accepted("adapter")) && !tree.has(&accepted("lib")));
    }
}
