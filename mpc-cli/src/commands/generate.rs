//! `mpc generate`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::{Shell, generate_to};

use crate::failure::Failure;
use crate::output::print;

/// Writes the manual pages and the completions of the shells.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// The folder to write to: manual pages to man1, completions to completions.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &GenerateArguments, program: Command) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Own(format!("{}: {error}", arguments.folder.display()));
    let (pages, completions) = (arguments.folder.join("man1"), arguments.folder.join("completions"));
    [&pages, &completions].into_iter().try_for_each(fs::create_dir_all).map_err(failed)?;
    write_pages(program.clone(), &pages).map_err(failed)?;
    let mut program = program;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        generate_to(shell, &mut program, "mpc", &completions).map_err(failed)?;
    }
    print(&format!("{}\n{}\n", pages.display(), completions.display()))
}

fn write_pages(program: Command, folder: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(program, folder)
}
