//! Signs of life of a process that computes for long without a message.

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How often it is looked whether the process works.
const INTERVAL: Duration = Duration::from_secs(1);

/// A process that took as much processor time since is one that works, however busy the machine is: hundredths of a second.
const LEAST: u64 = 2;

/// Tells that the process works, until it is dropped.
pub struct Working {
    _stop: Sender<()>,
}

impl Working {
    /// Calls `tell` now and then while this process computes. Where Linux's /proc is not there, nothing is told.
    pub fn new(mut tell: impl FnMut() + Send + 'static) -> Self {
        let (stop, stopped) = channel::<()>();
        let watch = move || {
            let mut before = processor_time();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let now = processor_time();
                if now.zip(before).is_some_and(|(now, before)| now >= before + LEAST) {
                    tell();
                }
                before = now;
            }
        };
        // Without such a thread the messages are all that is heard.
        let _ = thread::Builder::new().name("mpc working".to_owned()).spawn(watch);
        Self { _stop: stop }
    }
}

/// The processor time that all threads of this process have taken, in hundredths of a second.
fn processor_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in brackets, whatever it is; behind it the state, and ten numbers before these two.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut numbers = behind.split_ascii_whitespace().skip(11);
    let [user, system] = [numbers.next()?, numbers.next()?].map(str::parse::<u64>);
    Some(user.ok()? + system.ok()?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn a_process_that_computes_is_heard() {
        let (tell, told) = channel();
        let working = Working::new(move || {
            let _ = tell.send(());
        });
        let before = processor_time().unwrap();
        let mut sum = 0u64;
        while told.try_recv().is_err() {
            sum = (0..1 << 20).fold(sum, |sum, n| black_box(sum ^ n));
        }
        assert!(processor_time().unwrap() >= before + LEAST, "{sum}");
        drop(working);
        // The thread ends, and with it what it would have told.
        while told.recv().is_ok() {}
    }
}
