//! The steps that cargo does.

use super::Outcome;
use crate::workspace::{Member, Workspace, run, works};

/// Packages outside the workspace.
const OUTSIDE: [&str; 3] = ["fuzz/Cargo.toml", "xtask/checks/Cargo.toml", "xtask/no-std/Cargo.toml"];

/// Formatting.
pub(super) fn format(workspace: &Workspace) -> Outcome {
    if !works(&mut workspace.cargo(["fmt", "--version"])) {
        return Outcome::not_installed("rustfmt");
    }
    let mut failures = Vec::new();
    failures.extend(run(&mut workspace.cargo(["fmt", "--all", "--check"])).err());
    for manifest in OUTSIDE {
        failures.extend(run(&mut workspace.cargo(["fmt", "--manifest-path", manifest, "--check"])).err());
    }
    Outcome::of(failures, "")
}

/// Lints.
pub(super) fn clippy(workspace: &Workspace) -> Outcome {
    if !has_clippy(workspace) {
        return Outcome::not_installed("clippy");
    }
    let lints = ["clippy", "--workspace", "--all-targets", "--all-features", "--keep-going", "--", "-D", "warnings"];
    Outcome::of(run(&mut workspace.cargo(lints)).err().into_iter().collect(), "")
}

fn has_clippy(workspace: &Workspace) -> bool {
    works(&mut workspace.cargo(["clippy", "--version"]))
}

/// Each crate that has features by itself: without them, with each one alone, with the default ones.
pub(super) fn features(workspace: &Workspace) -> Outcome {
    let strict = has_clippy(workspace);
    let mut failures = Vec::new();
    let mut checked = 0;
    for member in workspace.published().filter(|member| !member.features.is_empty()) {
        for choice in choices(member) {
            let mut command = workspace.cargo([if strict { "clippy" } else { "check" }, "--quiet", "--package"]);
            command.args([&member.name, "--no-default-features", "--features", &choice.join(",")]);
            if strict {
                // What it depends on has sets of its own.
                command.args(["--no-deps", "--", "-D", "warnings"]);
            }
            failures.extend(run(&mut command).err());
            checked += 1;
        }
    }
    let remark = if strict { "" } else { ", warnings allowed: clippy is not installed" };
    Outcome::of(failures, format!("{checked} sets of features{remark}"))
}

/// No feature, each one alone, and the default ones where they are more than one. Clippy has checked them all together.
fn choices(member: &Member) -> Vec<Vec<String>> {
    let mut choices = vec![vec![]];
    choices.extend(member.features.keys().filter(|feature| *feature != "default").map(|feature| vec![feature.clone()]));
    let default = member.features.get("default").cloned().unwrap_or_default();
    let is_new = |other: &Vec<String>| member.with_implied(other) != member.with_implied(&default);
    if choices.iter().all(is_new) {
        choices.push(default);
    }
    choices
}

/// The documentation.
pub(super) fn docs(workspace: &Workspace) -> Outcome {
    let mut command = workspace.cargo(["doc", "--workspace", "--no-deps", "--all-features", "--keep-going"]);
    Outcome::of(run(command.env("RUSTDOCFLAGS", "-D warnings")).err().into_iter().collect(), "")
}

/// The fuzz targets compile. Nothing is linked, so libFuzzer, which is C++, need not be built for it.
pub(super) fn fuzz(workspace: &Workspace) -> Outcome {
    let manifest = "fuzz/Cargo.toml";
    let check = || {
        let mut command = workspace.cargo_outside("check", manifest)?;
        command.args(["--locked", "--bins"]).env("CUSTOM_LIBFUZZER_PATH", workspace.target.join("libfuzzer.a"));
        run(&mut command).map_err(|error| format!("{error}{}", stale_lock(workspace, manifest)))
    };
    Outcome::of(check().err().into_iter().collect(), "")
}

/// The advice on a lock file outside the workspace, if it no longer fits the crates.
pub(super) fn stale_lock(workspace: &Workspace, manifest: &str) -> String {
    let metadata = ["metadata", "--locked", "--format-version", "1", "--manifest-path", manifest];
    if works(&mut workspace.cargo(metadata)) {
        return String::new();
    }
    format!("\nits lock file is out of date: `cargo update --workspace --manifest-path {manifest}`")
}
