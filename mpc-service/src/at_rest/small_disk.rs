//! A small file system for tests, which is full when they fill it: a tmpfs in a mount namespace that a process of the tests
//! has for itself. No right is needed but that to make user namespaces.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Says where no small file system can be mounted.
const MISSING: &str = "skipped: no user namespace can be made, in which a small file system is mounted (unshare)";

/// Mounts the file system, and runs a program there.
const SCRIPT: &str = include_str!("small_disk.sh");

/// A command whose arguments are yet to follow: a program that has a file system of so many KiB at that folder, for itself
/// alone. `None` where that cannot be, which is said.
pub fn inside(kib: usize, folder: &Path) -> Option<Command> {
    let make = || {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(kib.to_string()).arg(folder);
        command
    };
    let tried = make().arg("true").stderr(Stdio::null()).status();
    if tried.is_ok_and(|status| status.success()) {
        return Some(make());
    }
    println!("{MISSING}");
    None
}

/// A small file system that this process reaches through the one that keeps it mounted.
pub struct SmallDisk {
    keeper: Child,
    path: PathBuf,
    _folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many KiB. `None` where that cannot be, which is said.
    pub fn mount(kib: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = inside(kib, folder.path())?;
        command.args(["sh", "-c", "echo ready; read -r _"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let inside = folder.path().strip_prefix("/").unwrap();
        let path = Path::new("/proc").join(keeper.id().to_string()).join("root").join(inside);
        Some(Self { keeper, path, _folder: folder })
    }

    /// Where it is, for this process and those that it starts.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[1; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    /// Makes room again.
    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
