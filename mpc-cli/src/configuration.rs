//! A command's flags from a TOML file.
//!
//! Each key becomes the flag or positional argument of that name on the command line, unless it is there already. So a file
//! can say whatever the command line can, and is checked by the same rules.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command};
use mpc_models::read_file;
use toml::{Table, Value};

use crate::failure::Failure;

/// The largest file, in bytes.
const MAX_FILE: usize = 1 << 20;

/// The command line with what the file of `--config` adds to it.
pub fn merge(program: &Command, arguments: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    // What is wrong with the command line itself is said when the whole is read.
    let lenient = program.clone().ignore_errors(true).try_get_matches_from(&arguments);
    let Ok(matches) = lenient else { return Ok(arguments) };
    let Some((name_of_command, given)) = matches.subcommand() else { return Ok(arguments) };
    let Some(path) = given.try_get_one::<std::path::PathBuf>("config").ok().flatten() else { return Ok(arguments) };
    let Some(command) = program.find_subcommand(name_of_command) else { return Ok(arguments) };
    let file = path.display().to_string();
    let wrong = |reason: String| Failure::Usage(format!("{file}: {reason}"));
    let bytes = read_file(path, MAX_FILE).map_err(|error| Failure::Usage(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is no text".to_owned()))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let is_given = |argument: &Arg| given.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
    // The words of the command line are what the file leaves open; where they are more, they replace what it says.
    let is_open = |argument: &&Arg| !table.contains_key(&name(argument));
    let count = |argument: &Arg| given.get_raw(argument.get_id().as_str()).map_or(0, Iterator::count);
    let words: usize = command.get_positionals().filter(|argument| is_given(argument)).map(count).sum();
    let room =
        command.get_positionals().filter(is_open).map(|argument| if takes_several(argument) { words } else { 1 });
    let is_room = words <= room.sum();
    let first_word = command.get_positionals().position(|argument| is_room && is_open(&argument)).unwrap_or(0);
    let (mut flags, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in &table {
        let argument = find(program, command, key).ok_or_else(|| wrong(unknown(program, command, key)))?;
        // Indices are there only once a command has been built, which clones of it are that parse.
        let place = command.get_positionals().position(|positional| positional.get_id() == argument.get_id());
        let is_before = place.is_some_and(|place| place < first_word);
        if is_given(argument) && !is_before {
            continue;
        }
        let values = values(argument, value).map_err(|reason| wrong(format!("`{key}`: {reason}")))?;
        match place {
            Some(place) if is_before => before.push((place, values)),
            Some(place) => after.push((place, values)),
            None => flags.extend(as_flags(key, argument, values)),
        }
    }
    let in_order = |mut positionals: Vec<(usize, Vec<String>)>| {
        positionals.sort_by_key(|(place, _)| *place);
        positionals.into_iter().flat_map(|(_, values)| values.into_iter().map(OsString::from))
    };
    let mut merged = arguments;
    let command_word = merged.iter().position(|word| word == name_of_command).map_or(merged.len(), |at| at + 1);
    merged.splice(command_word..command_word, in_order(before));
    merged.extend(flags);
    merged.extend(in_order(after));
    Ok(merged)
}

/// The argument of that name.
fn find<'c>(program: &'c Command, command: &'c Command, key: &str) -> Option<&'c Arg> {
    let known =
        |argument: &&Arg| !matches!(argument.get_id().as_str(), "config" | "help" | "version") && name(argument) == key;
    command.get_arguments().chain(program.get_arguments()).find(known)
}

/// How an argument is named in a file.
fn name(argument: &Arg) -> String {
    argument.get_long().map_or_else(|| argument.get_id().as_str().replace('_', "-"), str::to_owned)
}

fn unknown(program: &Command, command: &Command, key: &str) -> String {
    let all = command.get_arguments().chain(program.get_arguments());
    let mut names: Vec<_> = all.map(name).filter(|name| !matches!(&**name, "config" | "help" | "version")).collect();
    names.sort();
    names.dedup();
    format!("unknown key `{key}`; `mpc {}` takes {}", command.get_name(), names.join(", "))
}

/// The values of a key as text; of a switch, itself if it is on.
fn values(argument: &Arg, value: &Value) -> Result<Vec<String>, String> {
    if !argument.get_action().takes_values() {
        return match value {
            Value::Boolean(true) => Ok(vec![String::new()]),
            Value::Boolean(false) => Ok(Vec::new()),
            _ => Err("it is true or false".to_owned()),
        };
    }
    match value {
        Value::Array(values) if takes_several(argument) => values.iter().map(text).collect(),
        Value::Array(_) => Err("it takes one value, not a list".to_owned()),
        value => Ok(vec![text(value)?]),
    }
}

fn takes_several(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Append)
        || argument.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        _ => Err("it is a text, a number, true or false, or a list of these".to_owned()),
    }
}

fn as_flags(key: &str, argument: &Arg, values: Vec<String>) -> Vec<OsString> {
    let name = format!("--{key}");
    // What takes a fixed number of values takes them from the words that follow, all at once.
    if argument.get_num_args().is_some_and(|count| count.min_values() > 1) {
        return [name].into_iter().chain(values).map(OsString::from).collect();
    }
    let takes_values = argument.get_action().takes_values();
    let flag = |value: String| OsString::from(if takes_values { format!("{name}={value}") } else { name.clone() });
    values.into_iter().map(flag).collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::program::Program;

    fn merged(line: &str, file: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mpc.toml");
        std::fs::write(&path, file).unwrap();
        let line = line.replace("FILE", path.to_str().unwrap());
        let arguments = line.split(' ').map(OsString::from).collect();
        let merged = merge(&Program::command(), arguments).map_err(|failure| failure.to_string())?;
        Ok(merged.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn a_file_says_what_the_command_line_can() {
        let file = "key = \"d.key\"\nallow = [\"a.crt\", \"b.crt\"]\ndeadline = 5\nlisten = \"127.0.0.1:0\"\n";
        let merged = merged("mpc dealer --config FILE --deadline 7", file).unwrap();
        let added: Vec<_> = merged.iter().skip(6).map(String::as_str).collect();
        assert_eq!(added, ["--allow=a.crt", "--allow=b.crt", "--key=d.key", "--listen=127.0.0.1:0"]);
        assert!(Program::try_parse_from(merged).is_ok());
    }

    #[test]
    fn positional_arguments_and_switches() {
        let file = "model = \"net.onnx\"\noutput = [\"a\", \"b\"]\noutsourced = true\nowner-computes = false\n";
        let merged = merged("mpc pack --config FILE", file).unwrap();
        let added: Vec<_> = merged.iter().skip(4).map(String::as_str).collect();
        assert_eq!(added, ["--output", "a", "b", "--outsourced", "net.onnx"]);
        let parsed = Program::try_parse_from(merged);
        assert!(parsed.is_ok(), "{parsed:?}");
    }

    #[test]
    fn words_of_the_command_line_follow_what_the_file_says_before_them() {
        let file = "model = \"net.public\"\nkey = \"c.key\"\nconnect = [\"a:1=a.crt\"]\n";
        let merged = merged("mpc query --config FILE 0.npy 1.npy", file).unwrap();
        assert_eq!(&merged[..3], ["mpc", "query", "net.public"]);
        assert_eq!(&merged[5..], ["0.npy", "1.npy", "--connect=a:1=a.crt", "--key=c.key"]);
        assert!(Program::try_parse_from(merged).is_ok());
    }

    #[test]
    fn words_of_the_command_line_replace_what_the_file_says_where_it_leaves_nothing_open() {
        let merged = merged("mpc pack other.onnx --config FILE", "model = \"net.onnx\"\noutput = [\"a\", \"b\"]\n");
        let merged = merged.unwrap();
        assert_eq!(merged[2], "other.onnx");
        assert_eq!(&merged[5..], ["--output", "a", "b"]);
    }

    #[test]
    fn what_is_unknown_or_of_another_kind_is_an_error() {
        for (file, expected) in [
            ("keys = \"d.key\"\n", "unknown key `keys`; `mpc dealer` takes admin, allow, "),
            ("deadline = [1, 2]\n", "`deadline`: it takes one value"),
            ("deadline = 1979-05-27\n", "`deadline`: it is a text"),
            ("key = \n", "mpc.toml: "),
        ] {
            let error = merged("mpc dealer --config FILE", file).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
