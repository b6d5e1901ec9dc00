//! Rules that a compiler does not check.

mod examples;
mod imports;
mod prose;
mod size;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Outcome;
use crate::workspace::{Member, Workspace};

/// Everything at the top level but the members of the workspace.
const TOP_LEVEL: [&str; 17] = [
    ".cargo",
    ".ci",
    ".github",
    ".gitignore",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "deny.toml",
    "docs",
    "rustfmt.toml",
];
/// A workspace of its own.
const FUZZ: &str = "fuzz";
/// The crates whose texts may name flags of a command line.
const WITH_FLAGS: [&str; 2] = ["mpc-cli", "xtask"];

/// Where `unsafe` is allowed: the vector kernels, the allocator of a program that never runs, and what a test says to
/// Valgrind.
const UNSAFE: [&str; 3] = ["mpc-ring/src/kernels", "xtask/checks/src/request.rs", "xtask/no-std/src/lib.rs"];
/// The one crate that cannot forbid unsafe code.
const WITH_UNSAFE: &str = "mpc-ring";

/// Paths of somebody's machine. In parts, so that this file passes.
const MACHINE_PATHS: [&str; 3] = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];
/// Data, whatever it looks like.
const DATA: &str = "fuzz/seeds";
/// The words that are left over from writing.
const LEFTOVERS: [&str; 4] =
    [concat!("to", "do!"), concat!("db", "g!("), concat!("unimple", "mented!"), concat!("FIX", "ME")];

/// Checks all files that git knows or would add; without git, all files.
pub(super) fn run(workspace: &Workspace) -> Outcome {
    let mut wrong = Vec::new();
    let files = files(&workspace.root);
    check_top_level(workspace, &files, &mut wrong);
    for file in &files {
        check_file(&workspace.root, file, &mut wrong);
    }
    for member in workspace.published() {
        let missing = ["README.md", "CHANGELOG.md"].into_iter().filter(|file| !member.folder.join(file).is_file());
        wrong.extend(missing.map(|file| format!("{} has no {file}", member.name)));
        wrong.extend(member.missing.iter().map(|field| format!("the manifest of {} has no {field}", member.name)));
    }
    for member in &workspace.members {
        check_member(workspace, member, &files, &mut wrong);
    }
    Outcome::of(wrong, format!("{} files", files.len()))
}

fn check_member(workspace: &Workspace, member: &Member, files: &[PathBuf], wrong: &mut Vec<String>) {
    for root in ["src/lib.rs", "src/main.rs"] {
        let Ok(text) = fs::read_to_string(member.folder.join(root)) else { continue };
        if member.name != WITH_UNSAFE && !text.contains("#![forbid(unsafe_code)]") {
            wrong.push(format!("{}/{root} does not forbid unsafe code", member.name));
        }
    }
    let own = member.folder.strip_prefix(&workspace.root).unwrap_or(&member.folder);
    let of_rust = files.iter().filter(|file| file.starts_with(own) && is_rust(file));
    let texts = of_rust.filter_map(|file| Some((file, fs::read_to_string(workspace.root.join(file)).ok()?)));
    let texts: Vec<_> = texts.map(|(file, text)| (file.strip_prefix(own).unwrap_or(file).to_owned(), text)).collect();
    let sources = texts.iter().filter_map(|(file, text)| Some((file.strip_prefix("src").ok()?, &**text)));
    let sources: Vec<_> = sources.collect();
    wrong.extend(imports::check(&member.name, &sources));
    wrong.extend(hidden_tests(member, &sources));
    if !WITH_FLAGS.contains(&&*member.name) {
        let named = sources.iter().flat_map(|(file, text)| prose::check_flags(&own.join("src").join(file), text));
        wrong.extend(named);
        // Whoever builds on a package looks for them; the notebooks are those of Python's.
        if member.published {
            wrong.extend(examples::check(&member.name, &texts));
        }
    }
}

/// Tests that no run would find, as the manifest says that there are none.
fn hidden_tests<'a>(member: &'a Member, sources: &'a [(&Path, &str)]) -> impl Iterator<Item = String> + 'a {
    let is_hidden = |file: &Path| {
        member.untested.iter().any(|root| root.ends_with("src/lib.rs") || root.ends_with(Path::new("src").join(file)))
    };
    let hidden = sources.iter().filter(move |(file, text)| is_hidden(file) && text.contains("#[cfg(test)]"));
    hidden.map(|(file, _)| format!("{}/src/{}: tests in a target with `test = false`", member.name, file.display()))
}

fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "rs")
}

fn check_top_level(workspace: &Workspace, files: &[PathBuf], wrong: &mut Vec<String>) {
    let members = workspace.members.iter().filter_map(|member| member.folder.file_name()?.to_str());
    let expected: Vec<_> = members.chain(TOP_LEVEL).chain([FUZZ]).collect();
    let mut found: Vec<_> = files.iter().filter_map(|file| file.iter().next()?.to_str()).collect();
    found.sort_unstable();
    found.dedup();
    let extra = found.iter().filter(|name| !expected.contains(name));
    wrong.extend(extra.map(|name| format!("{name} does not belong at the top level")));
    let missing = expected.iter().filter(|name| !found.contains(name));
    wrong.extend(missing.map(|name| format!("{name} is missing at the top level")));
}

fn check_file(root: &Path, file: &Path, wrong: &mut Vec<String>) {
    let shown = file.display();
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        wrong.push(format!("{shown}: a module `foo` is `foo.rs`"));
    }
    if file.starts_with(DATA) {
        return;
    }
    // What is not text has no lines.
    let Ok(text) = fs::read_to_string(root.join(file)) else { return };
    if is_rust(file) {
        wrong.extend(size::check(file, &text));
        wrong.extend(prose::check(file, &text));
    }
    let may_be_unsafe = UNSAFE.iter().any(|place| file.starts_with(place));
    for (line, number) in text.lines().zip(1..) {
        let at = format!("{shown}:{number}");
        wrong.extend(found(line, &MACHINE_PATHS).map(|path| format!("{at}: `{path}` is a path of one machine")));
        if line.ends_with([' ', '\t', '\r']) {
            wrong.push(format!("{at}: space at the end of the line"));
        }
        if is_rust(file) {
            wrong.extend(found(line, &LEFTOVERS).map(|word| format!("{at}: `{word}`")));
            if !may_be_unsafe && has_unsafe(line) {
                wrong.push(format!("{at}: unsafe code"));
            }
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        wrong.push(format!("{shown}: no newline at the end"));
    }
}

fn found<'a>(line: &'a str, words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    words.iter().copied().filter(|word| line.contains(word))
}

/// Whether a line of Rust has the keyword `unsafe`, outside comments and texts.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default().split('"').step_by(2);
    let mut words = code.flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.any(|word| word == "unsafe")
}

/// The files of the workspace, relative to its root.
fn files(root: &Path) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .stdin(Stdio::null())
        .output();
    let mut files = match listed {
        Ok(output) if output.status.success() => {
            let names = String::from_utf8_lossy(&output.stdout);
            names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
        }
        _ => walk(root, Path::new("")),
    };
    // Deleted files are still known to git.
    files.retain(|file| root.join(file).is_file());
    files
}

fn walk(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_name() != "target" && entry.file_name() != ".git");
    let paths = entries.map(|entry| folder.join(entry.file_name()));
    paths.flat_map(|path| if root.join(&path).is_dir() { walk(root, &path) } else { vec![path] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_a_word() {
        assert!(has_unsafe("    unsafe { f() }"));
        assert!(has_unsafe("pub unsafe fn f() {} // SAFETY"));
        assert!(!has_unsafe("#![forbid(unsafe_code)]"));
        assert!(!has_unsafe("f(); // unsafe"));
        assert!(!has_unsafe(&format!("f({:?});", "unsafe")));
    }
}
