//! The packages hold all that they need: they are packed, unpacked elsewhere, and compile there.
//!
//! `cargo package` can verify them itself, but against the packages of the same version that an earlier run left in
//! cargo's home, which nothing renews.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tar::Archive;

use super::Outcome;
use crate::workspace::{Member, Workspace, run};

/// Files that every package must have.
const FILES: [&str; 2] = ["README.md", "CHANGELOG.md"];

/// Packs every published crate, and compiles what was packed.
pub(super) fn run_step(workspace: &Workspace) -> Outcome {
    match check(workspace) {
        Ok(failures) => Outcome::of(failures, format!("{} packages", workspace.published().count())),
        Err(error) => Outcome::Failed(vec![error]),
    }
}

fn check(workspace: &Workspace) -> Result<Vec<String>, String> {
    // Offline: whatever the packages need was fetched for the workspace. Uncommitted files are none of this step's business.
    let mut command = workspace.cargo(["package", "--workspace", "--allow-dirty", "--offline", "--no-verify"]);
    let private = workspace.members.iter().filter(|member| !member.published);
    command.args(private.flat_map(|member| ["--exclude", &member.name]));
    run(&mut command)?;

    let folder = workspace.target.join("package/unpacked");
    unpack(workspace, &folder).map_err(|error| format!("unpacking the packages to {}: {error}", folder.display()))?;
    let lacks = |member: &Member, file: &str| !package(&folder, member).join(file).is_file();
    let missing = workspace.published().flat_map(|member| FILES.map(|file| (member, file)));
    let missing = missing.filter(|(member, file)| lacks(member, file));
    let mut failures: Vec<_> =
        missing.map(|(member, file)| format!("the package {} lacks {file}", member.name)).collect();

    // In the workspace's target folder, where the dependencies have been checked before.
    let mut command = workspace.cargo_outside("check", folder.join("Cargo.toml"))?;
    failures.extend(run(command.args(["--workspace", "--offline"])).err());
    Ok(failures)
}

/// A workspace of the packages, each of which finds the others there instead of in a registry.
fn unpack(workspace: &Workspace, folder: &Path) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut manifest = String::from("[workspace]\nresolver = \"3\"\nmembers = [\"mpc-*\"]\n\n[patch.crates-io]\n");
    for member in workspace.published() {
        let archive = workspace.target.join("package").join(format!("{}.crate", full_name(member)));
        let mut archive = Archive::new(GzDecoder::new(File::open(archive)?));
        // A package's files have one date, always the same: with it, cargo would not see that they changed.
        archive.set_preserve_mtime(false);
        archive.unpack(folder)?;
        let _ = writeln!(manifest, "{} = {{ path = \"{}\" }}", member.name, full_name(member));
    }
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::copy(workspace.root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(())
}

fn package(folder: &Path, member: &Member) -> PathBuf {
    folder.join(full_name(member))
}

fn full_name(member: &Member) -> String {
    format!("{}-{}", member.name, member.version)
}
