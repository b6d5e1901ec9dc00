//! Files and functions that fit one look.

use std::path::Path;

/// The most lines of a file of Rust.
const FILE: usize = 450;
/// The most lines of a function.
const FUNCTION: usize = 60;

/// Says how a file of Rust is too long.
pub(super) fn check(path: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines: Vec<_> = text.lines().collect();
    if lines.len() > FILE {
        wrong.push(format!("{}: {} lines, more than {FILE}", path.display(), lines.len()));
    }
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function(line) else { continue };
        let length = length(&lines[start..]);
        if length > FUNCTION {
            wrong.push(format!("{}:{}: `{name}` has {length} lines, more than {FUNCTION}", path.display(), start + 1));
        }
    }
    wrong
}

/// The name of a function that begins in a line.
fn function(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let before = ["async", "const", "default", "extern", "\"C\"", "unsafe"];
    let word = words.find(|word| !word.starts_with("pub") && !before.contains(word) && !word.starts_with("in "))?;
    let name = words.next().filter(|_| word == "fn")?;
    Some(name.split(['(', '<']).next().unwrap_or(name))
}

/// The lines from a function's first one to its closing brace, which stands under the start of the first.
fn length(lines: &[&str]) -> usize {
    let first = lines[0];
    let indent = &first[..first.len() - first.trim_start().len()];
    let end = lines.iter().position(|line| {
        let is_at_start = line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with([' ', ')', '{']));
        is_at_start && (line.ends_with('}') || line.ends_with(';'))
    });
    end.map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_to_their_brace() {
        let lines = ["    pub(super) const fn f<T>(", "        x: T,", "    ) -> T {", "        x", "    }", "}"];
        assert_eq!((function(lines[0]), length(&lines)), (Some("f"), 5));
        assert_eq!((function("fn g() {}"), length(&["fn g() {}", "x"])), (Some("g"), 1));
        assert_eq!((function("    fn h(&self);"), function("let fn_name = 1;")), (Some("h"), None));
    }

    #[test]
    fn a_long_file_and_a_long_function_are_found() {
        let function = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION - 2));
        assert_eq!(check(Path::new("a.rs"), &function), [""; 0]);
        let longer = function.replacen("    g();\n", "    g();\n\n", 1);
        assert_eq!(check(Path::new("a.rs"), &longer), ["a.rs:1: `f` has 61 lines, more than 60"]);
        assert_eq!(check(Path::new("a.rs"), &"\n".repeat(451)), ["a.rs: 451 lines, more than 450"]);
    }
}
