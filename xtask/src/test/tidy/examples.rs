//! Every library has examples, and its tests run them.

use std::path::{Path, PathBuf};

/// Says which examples of a crate are missing or do not run, its files being those below its folder.
pub(super) fn check(name: &str, files: &[(PathBuf, String)]) -> Vec<String> {
    let examples: Vec<_> = files.iter().filter(|(file, _)| file.parent() == Some(Path::new("examples"))).collect();
    if examples.is_empty() {
        return vec![format!("{name} has no example")];
    }
    let runs = |example: &Path| {
        let needle = format!("{}\"]", example.file_name().unwrap_or_default().to_string_lossy());
        let others = files.iter().filter(|(file, _)| file.starts_with("tests") || file.starts_with("examples"));
        others.flat_map(|(_, text)| text.lines()).any(|line| line.starts_with("#[path") && line.ends_with(&needle))
    };
    let idle = examples.iter().filter(|(example, _)| !runs(example));
    idle.map(|(example, _)| format!("{name}: no test runs {}", example.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_must_run() {
        let example = (PathBuf::from("examples/a.rs"), "fn main() {}".to_owned());
        let test = (PathBuf::from("tests/all/examples.rs"), "#[path = \"../../examples/a.rs\"]\nmod a;".to_owned());
        assert_eq!(check("c", &[]), ["c has no example"]);
        assert_eq!(check("c", std::slice::from_ref(&example)), ["c: no test runs examples/a.rs"]);
        assert_eq!(check("c", &[example, test]), [""; 0]);
    }
}
