//! Time that all processes on this machine agree on.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The system's time when the process first asked, and the steady clock's.
static START: LazyLock<(u64, Instant)> = LazyLock::new(|| (nanoseconds(since_epoch()), Instant::now()));

/// Nanoseconds since the Unix epoch by the system's clock at the process's first call, and by the steady clock from then
/// on: comparable between processes, and unaffected by a system clock that is set while they run.
pub fn now() -> u64 {
    let (start, instant) = *START;
    start + nanoseconds(instant.elapsed())
}

/// Seconds between two readings; 0 if the second is not later.
pub fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 * 1e-9
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
