//! Packages of Debian that tests need, installed where that may be.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::workspace::{run, works};

/// Has packages installed where this is Debian and this process root; says why not where that fails.
pub(super) fn install(packages: &[&str]) {
    if !may_install() {
        return;
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    if let Err(error) = run(install.env("DEBIAN_FRONTEND", "noninteractive")) {
        println!("{error}");
    }
}

fn may_install() -> bool {
    let is_root = fs::read_to_string("/proc/self/status").is_ok_and(|text| text.contains("\nUid:\t0\t0\t"));
    is_root && Path::new("/etc/debian_version").exists() && works(Command::new("apt-get").arg("--version"))
}
