//! Sentences that a newcomer reads once.

use std::path::Path;

/// A sentence that begins so lacks its subject.
const HEADLESS: [&str; 10] = ["What", "Whatever", "Who", "Whoever", "Whose", "Such", "None", "Nobody", "what", "who"];

/// Says which comments of a file of Rust begin without a subject.
pub(super) fn check(path: &Path, text: &str) -> Vec<String> {
    let headless = |line: &str| {
        let comment = line.trim_start().strip_prefix("///").or_else(|| line.trim_start().strip_prefix("//!"))?;
        let first = comment.split_whitespace().next()?.trim_end_matches(|c: char| !c.is_alphanumeric());
        HEADLESS.contains(&first).then(|| first.to_owned())
    };
    let mut wrong = Vec::new();
    let mut goes_on = false;
    for (line, number) in text.lines().zip(1..) {
        if let Some(word) = headless(line).filter(|_| !goes_on) {
            wrong.push(format!("{}:{number}: a comment begins with `{word}`: say its subject first", path.display()));
        }
        let line = line.trim_start();
        let is_heading = line.starts_with("/// #") || line.starts_with("//! #");
        // The next line goes on with this one's sentence.
        goes_on = (line.starts_with("///") || line.starts_with("//!"))
            && !is_heading
            && line.ends_with(|c: char| c.is_alphanumeric() || ",;`)]".contains(c));
    }
    wrong
}

/// Says where a library names a flag of some command line, which it cannot know.
pub(super) fn check_flags(path: &Path, text: &str) -> Vec<String> {
    let code = text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//"));
    let named = code.filter(|(line, _)| has_flag(line));
    named.map(|(_, number)| format!("{}:{number}: a library names a flag of a command line", path.display())).collect()
}

/// Whether `--name` stands in a line, outside its comment.
fn has_flag(line: &str) -> bool {
    let code = line.split(" // ").next().unwrap_or(line);
    code.match_indices("--").any(|(at, _)| {
        let is_start = !code[..at].ends_with(|c: char| c.is_alphanumeric() || "-_)".contains(c));
        is_start && code[at + 2..].starts_with(|c: char| c.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headless_sentences_are_found() {
        let lines = |text: &str| check(Path::new("a.rs"), text).len();
        assert_eq!(lines("/// What a party sends.\n"), 1);
        assert_eq!(lines("//! None of them.\n"), 1);
        assert_eq!(lines("/// Sends\n/// what a party has.\n/// The end.\n///\n/// Who takes it.\n"), 1);
        assert_eq!(lines("/// Who.\n"), 1);
        assert_eq!(lines("/// # Errors\n/// Whatever a file lacks.\n"), 1);
        assert_eq!(lines("/// The bytes of a party.\n// What is no documentation.\n"), 0);
    }

    #[test]
    fn flags_of_libraries_are_found() {
        assert!(has_flag(&format!("    \"no dealer: {}dealer\"", "--")));
        assert!(!has_flag("    x -- y; // see --help"));
        assert!(!has_flag("-----BEGIN"));
    }
}
