//! `cargo xtask infer`, `check` and `inspect`: what `mpc run`, `plan`, `check` and `inspect` are now, by their old names.

use std::process::{Command, ExitCode, Stdio};

use crate::workspace::Workspace;

/// The words of an old command.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct OldArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs the command of `mpc`.
pub fn run(name: &str, arguments: &OldArguments) -> ExitCode {
    let status = Workspace::find().and_then(|workspace| {
        let mut command: Command = workspace.cargo(["run", "--release", "--package", "mpc-cli", "--"]);
        // Where the user is, for the names of files.
        let here = std::env::current_dir().map_err(|error| format!("the current folder: {error}"))?;
        command.current_dir(here).args(translated(name, &arguments.words)).stdin(Stdio::inherit());
        command.status().map_err(|error| format!("cargo did not start: {error}"))
    });
    match status {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into(),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The words for `mpc`: `infer` is `run`, with `--plan` it is `plan`; the value of `--model` stands alone.
fn translated(name: &str, words: &[String]) -> Vec<String> {
    let is_plan = words.iter().any(|word| word == "--plan");
    let name = match (name, is_plan) {
        ("infer", true) => "plan",
        ("infer", false) => "run",
        _ => name,
    };
    let kept = words.iter().filter(|word| !matches!(&***word, "--plan" | "--model"));
    let model = |word: &String| word.strip_prefix("--model=").unwrap_or(word).to_owned();
    [name.to_owned()].into_iter().chain(kept.map(model)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_words_become_new_ones() {
        let new = |name: &str, line: &str| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            translated(name, &words).join(" ")
        };
        assert_eq!(new("infer", ""), "run");
        assert_eq!(new("infer", "--model unet --images 2"), "run unet --images 2");
        assert_eq!(new("infer", "--parties 3 --model=a.onnx --plan"), "plan --parties 3 a.onnx");
        assert_eq!(new("check", "a.onnx --input x.npy"), "check a.onnx --input x.npy");
    }
}
