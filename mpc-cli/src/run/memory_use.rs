//! The most memory that this process held.

use std::fs;

/// The peak resident set since the process began or [`reset_peak`] was called, in bytes; none where Linux's /proc is not
/// there.
pub fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Counts the peak from now on, where Linux allows it: what the plaintext reference took is not the run's.
pub fn reset_peak() {
    // Elsewhere the peak of the whole process is reported, which is only larger.
    let _ = fs::write("/proc/self/clear_refs", "5");
}
