//! Numbers for people.

/// Bytes with a decimal unit: 1 MB = 10^6 bytes.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// Seconds with three digits after the point.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

/// A whole number with separators.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 4_205_000].map(bytes), ["0 B", "999 B", "1.0 kB", "4.21 MB"]);
        assert_eq!([7, 1_000, 68_862_592].map(count), ["7", "1,000", "68,862,592"]);
    }
}
