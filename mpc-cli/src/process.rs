//! Processes of this program that end with the one that started them.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process has to exit once it has nothing more to do.
const EXIT_TIME: Duration = Duration::from_secs(2);
const EXIT_PAUSE: Duration = Duration::from_millis(2);

/// A process of this program; ended and waited for when dropped.
pub struct Process {
    end: End,
    /// Open as long as the process shall run.
    stdin: Option<ChildStdin>,
}

/// How a process ends, for a thread that reads its output.
#[derive(Clone)]
pub struct End(Arc<Mutex<Child>>);

impl Process {
    /// Starts this program with other words on the command line; what it prints comes back.
    pub fn start<I: IntoIterator<Item: AsRef<OsStr>>>(words: I) -> io::Result<(Self, ChildStdout)> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let process = Self { end: End(Arc::new(Mutex::new(child))), stdin };
        Ok((process, stdout.ok_or_else(|| io::Error::other("a process without its output"))?))
    }

    /// Sends a line. A process that is gone is noticed where its output is read.
    pub fn send(&mut self, line: &[u8]) {
        let _ = self.stdin.as_mut().map(|stdin| stdin.write_all(line));
    }

    /// How it ends.
    pub fn end(&self) -> End {
        self.end.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process ends when its stdin does, if it has not already.
        self.stdin = None;
        if self.end.wait().is_none() {
            let mut child = self.end.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl End {
    /// How the process ended, if it does in time.
    pub fn wait(&self) -> Option<ExitStatus> {
        let end = Instant::now() + EXIT_TIME;
        loop {
            let status = self.0.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
            match status {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => thread::sleep(EXIT_PAUSE),
                _ => return None,
            }
        }
    }
}
