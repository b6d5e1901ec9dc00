//! Files of a crate that import each other in a circle, as their `use` lines say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The most files of one circle.
const LARGEST: usize = 5;

/// The names from the crate's root to a module: none for the root.
type Names = Vec<String>;

/// The modules of a crate.
#[derive(Default)]
struct Modules(BTreeMap<Names, Module>);

#[derive(Default)]
struct Module {
    text: String,
    /// The item or module that each imported name of this file stands for.
    aliases: BTreeMap<String, Names>,
    /// Modules that it imports all of.
    globs: Vec<Names>,
    /// The names that it imports for itself. Those that it only passes on are imported by others.
    uses: Vec<Names>,
}

/// Says which files of a crate make a circle that is too large, or that goes through several folders.
pub(super) fn check(name: &str, files: &[(&Path, &str)]) -> Vec<String> {
    let mut modules = Modules::default();
    for (path, text) in files {
        modules.add(path, text);
    }
    modules.circles().iter().filter_map(|circle| complaint(name, circle)).collect()
}

fn complaint(name: &str, circle: &BTreeSet<Names>) -> Option<String> {
    let rooms: BTreeSet<_> = circle.iter().map(|names| room(names, circle)).collect();
    let wrong = match (circle.len(), rooms.len()) {
        (files, _) if files > LARGEST => format!("{files} files import each other in a circle"),
        (_, 2..) => "files of different folders import each other in a circle".to_owned(),
        _ => return None,
    };
    let files: Vec<_> = circle.iter().map(|names| names.join("::")).collect();
    Some(format!("{name}: {wrong}: {}", files.join(", ")))
}

/// The folder of a module: `a` for `a::b`, and for `a` itself beside it.
fn room<'a>(names: &'a Names, circle: &BTreeSet<Names>) -> &'a str {
    let Some(first) = names.first() else { return "" };
    let has_folder = circle.iter().any(|other| other.len() > 1 && other[0] == *first);
    if has_folder { first } else { "" }
}

impl Modules {
    fn add(&mut self, path: &Path, text: &str) {
        let mut names: Names = path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.retain(|name| !matches!(&**name, "lib" | "main" | "mod"));
        let module = self.0.entry(names).or_default();
        module.text += text;
        for (is_public, tree) in use_lines(text) {
            for path in expand(&tree) {
                module.import(&path, is_public);
            }
        }
    }

    /// The module that an item belongs to which `module` imports by `path`; nothing for one of another crate.
    fn find(&self, module: &Names, path: &[String], depth: usize) -> Option<Names> {
        let (first, mut rest) = path.split_first()?;
        let mut current = match &**first {
            "crate" => Names::new(),
            "self" => module.clone(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            name if self.0.contains_key(&child(module, name)) => child(module, name),
            _ => return None,
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                current.pop();
            } else if self.0.contains_key(&child(&current, name)) {
                current.push(name.clone());
            } else if let Some(found) = self.passed_on(&current, name, depth) {
                current = found;
            }
            rest = after;
        }
        Some(current)
    }

    /// The module of an item that another one only passes on.
    fn passed_on(&self, module: &Names, name: &str, depth: usize) -> Option<Names> {
        let here = self.0.get(module)?;
        if depth > 8 || defines(&here.text, name) {
            return None;
        }
        if let Some(path) = here.aliases.get(name) {
            return self.find(module, path, depth + 1);
        }
        let of_globs = here.globs.iter().filter_map(|path| self.find(module, path, depth + 1));
        of_globs.into_iter().find_map(|glob| {
            let has_it = self.0.get(&glob).is_some_and(|there| defines(&there.text, name));
            if has_it { Some(glob) } else { self.passed_on(&glob, name, depth + 1) }
        })
    }

    /// The circles of more than one file.
    fn circles(&self) -> BTreeSet<BTreeSet<Names>> {
        let targets =
            |names: &Names, module: &Module| module.uses.iter().filter_map(|path| self.find(names, path, 0)).collect();
        let imports: BTreeMap<Names, BTreeSet<Names>> =
            self.0.iter().map(|(names, module)| (names.clone(), targets(names, module))).collect();
        let reached: BTreeMap<_, _> = imports.keys().map(|names| (names, reach(&imports, names))).collect();
        let circle = |names: &Names| -> BTreeSet<Names> {
            reached[names].iter().filter(|other| reached[other].contains(names)).cloned().collect()
        };
        imports.keys().map(circle).filter(|circle| circle.len() > 1).collect()
    }
}

impl Module {
    fn import(&mut self, path: &str, is_public: bool) {
        let (path, alias) = path.split_once(" as ").unwrap_or((path, ""));
        let mut path: Names = path.split("::").map(|name| name.trim().to_owned()).collect();
        if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
            path.pop();
        }
        let last = path.last().cloned().unwrap_or_default();
        if last == "*" {
            path.pop();
            self.globs.push(path.clone());
        } else {
            let name = if alias.is_empty() { last } else { alias.trim().to_owned() };
            self.aliases.insert(name, path.clone());
        }
        if !is_public {
            self.uses.push(path);
        }
    }
}

/// All that can be reached from a file.
fn reach(imports: &BTreeMap<Names, BTreeSet<Names>>, from: &Names) -> BTreeSet<Names> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(names) = open.pop() {
        for next in imports.get(names).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    found
}

fn child(module: &Names, name: &str) -> Names {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Whether a file defines an item of that name.
fn defines(text: &str, name: &str) -> bool {
    ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "union", "macro_rules!"].iter().any(|kind| {
        let needle = format!("{kind} {name}");
        let is_whole = |at: usize| !text[at + needle.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        text.match_indices(&needle).any(|(at, _)| is_whole(at))
    })
}

/// The `use` lines at the left margin, and whether they pass on what they import. Those of inner modules, tests above all,
/// say nothing about the file.
fn use_lines(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let is_public = line.starts_with("pub ") || line.starts_with("pub(");
        let after = if is_public { line.split_once(" use ").map(|(_, tree)| tree) } else { line.strip_prefix("use ") };
        let Some(tree) = after.filter(|_| !is_public || line.find(" use ").is_some_and(|at| at < 20)) else { continue };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(next) = lines.next() else { break };
            tree += next;
        }
        found.push((is_public, tree.split(';').next().unwrap_or_default().to_owned()));
    }
    found
}

/// The paths of a tree of `use`.
fn expand(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in inner.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(part)).map(|part| format!("{}{part}", prefix.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|(path, text)| (Path::new(path), *text)).collect();
        check("c", &files)
    }

    #[test]
    fn trees_expand() {
        assert_eq!(expand("a::{b, c::{d as e, self}}"), ["a::b", "a::c::d as e", "a::c::self"]);
    }

    #[test]
    fn circles_through_folders_and_passed_on_names_are_found() {
        let root = ("lib.rs", "mod a;\nmod b;\npub use b::B;\n");
        let of_b = ("b.rs", "use crate::a::x::X;\npub struct B;\n");
        let circle = crate_of(&[root, ("a.rs", "mod x;\n"), ("a/x.rs", "use crate::B;\npub struct X;\n"), of_b]);
        assert_eq!(circle, ["c: files of different folders import each other in a circle: a::x, b"]);
        let no_circle = crate_of(&[root, ("a.rs", "mod x;\n"), ("a/x.rs", "pub struct X;\n"), of_b]);
        assert_eq!(no_circle, [""; 0]);
    }

    #[test]
    fn a_parent_and_its_children_may_know_each_other_while_they_are_few() {
        let root = ("lib.rs", "mod a;\n");
        let children = ["b", "c", "d", "e", "f"];
        let texts = children.map(|name| (format!("a/{name}.rs"), "use super::A;\n"));
        for (few, circles) in [(4, 0), (5, 1)] {
            let parent =
                children[..few].iter().map(|name| format!("mod {name};\nuse {name}::f;\n")).collect::<String>();
            let parent = format!("{parent}pub struct A;\n");
            let mut files = vec![root, ("a.rs", &*parent)];
            files.extend(texts.iter().map(|(path, text)| (&**path, *text)));
            assert_eq!(crate_of(&files).len(), circles);
        }
    }
}
