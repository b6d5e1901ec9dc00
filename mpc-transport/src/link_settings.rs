//! The settings of a link: how long a message takes, and how many bits it carries in a second.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// A link as those who use it see it; without latency and limit by default.
///
/// As text it is `lan`, `wan`, or a round trip and a rate:
///
/// ```
/// use std::time::Duration;
/// use mpc_transport::LinkSettings;
///
/// assert_eq!(LinkSettings::WAN.transfer_time(12_500_000), Duration::from_secs(1));
/// assert_eq!(LinkSettings::default().transfer_time(12_500_000), Duration::ZERO);
///
/// let link: LinkSettings = "40ms,100Mbit".parse()?;
/// assert_eq!((link.latency, link.bits_per_second), (Duration::from_millis(20), Some(100_000_000)));
/// assert_eq!("80ms,0.1Gbit".parse(), Ok(LinkSettings::WAN));
/// # Ok::<(), mpc_transport::LinkSettingsError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkSettings {
    /// The time that a message takes from one party to another, one way. A request and its answer take twice that.
    pub latency: Duration,
    /// The most bits that a party sends in a second, to all others together. Absent for no limit.
    pub bits_per_second: Option<u64>,
}

impl LinkSettings {
    /// 1 Gb/s, and 0.5 ms one way.
    pub const LAN: Self = Self { latency: Duration::from_micros(500), bits_per_second: Some(1_000_000_000) };

    /// 100 Mb/s, and 40 ms one way.
    pub const WAN: Self = Self { latency: Duration::from_millis(40), bits_per_second: Some(100_000_000) };

    /// The links that have names.
    const NAMED: [(&'static str, Self); 2] = [("lan", Self::LAN), ("wan", Self::WAN)];

    /// How long a party's link is busy with that many bytes.
    #[must_use]
    pub fn transfer_time(&self, bytes: u64) -> Duration {
        let Some(rate) = self.bits_per_second else { return Duration::ZERO };
        let nanoseconds = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// How long a request and its answer take, if both are short.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.latency.saturating_mul(2)
    }
}

/// A text that is no link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkSettingsError {
    /// Neither a name nor two parts.
    #[error("`{text}` is no link: write lan, wan, or a round trip and a rate, such as 40ms,100Mbit")]
    Form {
        /// The text.
        text: String,
    },
    /// The first part is no time.
    #[error("the round trip `{text}` is no time: write a number with s, ms, us or ns, such as 40ms")]
    RoundTrip {
        /// The part.
        text: String,
    },
    /// The second part is no rate.
    #[error(
        "the rate `{text}` is none: write a number above 0 with Gbit, Mbit, kbit or bit (a second), such as 100Mbit, or unlimited"
    )]
    Rate {
        /// The part.
        text: String,
    },
}

/// The units of times, in nanoseconds; one that ends in another comes before it.
const TIMES: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

/// The units of rates, in bits a second.
const RATES: [(&str, u64); 4] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];

/// The rate of a link without a limit.
const UNLIMITED: &str = "unlimited";

impl FromStr for LinkSettings {
    type Err = LinkSettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, link)) = Self::NAMED.into_iter().find(|(name, _)| *name == text) {
            return Ok(link);
        }
        let (round_trip, rate) =
            text.split_once(',').ok_or_else(|| LinkSettingsError::Form { text: text.to_owned() })?;
        let no_time = || LinkSettingsError::RoundTrip { text: round_trip.to_owned() };
        let latency = Duration::from_nanos(quantity(round_trip, &TIMES).ok_or_else(no_time)? / 2);
        if rate == UNLIMITED {
            return Ok(Self { latency, bits_per_second: None });
        }
        let no_rate = || LinkSettingsError::Rate { text: rate.to_owned() };
        let rate = quantity(rate, &RATES).filter(|&rate| rate > 0).ok_or_else(no_rate)?;
        Ok(Self { latency, bits_per_second: Some(rate) })
    }
}

/// A decimal number with one of the units, in the smallest of these; what is less than one of it is cut off.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let of_unit = |&(name, unit): &(&str, u64)| Some((text.strip_suffix(name)?, unit));
    let (number, unit) = units.iter().find_map(of_unit)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (whole, places) = (digits(whole)?, 10u128.checked_pow(u32::try_from(part.len()).ok()?)?);
    let part = u128::from(digits(part)?) * u128::from(unit) / places;
    whole.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

/// The text that [`FromStr`] reads as the same link.
impl fmt::Display for LinkSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = Self::NAMED.into_iter().find(|(_, link)| link == self) {
            return formatter.write_str(name);
        }
        let round_trip = u64::try_from(self.round_trip().as_nanos()).unwrap_or(u64::MAX);
        let [s, ms, us, ns] = [TIMES[3], TIMES[2], TIMES[1], TIMES[0]];
        write_quantity(formatter, round_trip, &[s, ms, us, ns])?;
        formatter.write_str(",")?;
        match self.bits_per_second {
            Some(rate) => write_quantity(formatter, rate, &RATES),
            None => formatter.write_str(UNLIMITED),
        }
    }
}

/// A whole number of the largest unit of which it is one.
fn write_quantity(formatter: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let whole = units.iter().find(|(_, unit)| value.is_multiple_of(*unit));
    whole.map_or(Ok(()), |(name, unit)| write!(formatter, "{}{name}", value / unit))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn links_as_text() {
        for (text, nanoseconds, rate) in [
            ("lan", 500_000, Some(1_000_000_000)),
            ("wan", 40_000_000, Some(100_000_000)),
            ("40ms,100Mbit", 20_000_000, Some(100_000_000)),
            ("0.5ms,2.5Gbit", 250_000, Some(2_500_000_000)),
            ("2s,56kbit", 1_000_000_000, Some(56_000)),
            ("30us,9bit", 15_000, Some(9)),
            ("0ms,unlimited", 0, None),
        ] {
            let expected = LinkSettings { latency: Duration::from_nanos(nanoseconds), bits_per_second: rate };
            let link: LinkSettings = text.parse().unwrap();
            assert_eq!(link, expected, "{text}");
            assert_eq!(link.to_string().parse(), Ok(link), "{text}");
        }
        assert_eq!("1ms,1Gbit".parse::<LinkSettings>().unwrap().to_string(), "lan");
        assert_eq!("0.5ms,2.5Gbit".parse::<LinkSettings>().unwrap().to_string(), "500us,2500Mbit");
    }

    #[test]
    fn what_is_no_link_says_what_to_write() {
        for (text, hint) in [
            ("", "such as 40ms,100Mbit"),
            ("moon", "`moon` is no link: write lan, wan, or"),
            ("40ms", "such as 40ms,100Mbit"),
            ("40,100Mbit", "the round trip `40` is no time: write a number with s, ms, us or ns, such as 40ms"),
            ("ms,100Mbit", "is no time"),
            ("-1ms,100Mbit", "is no time"),
            ("1.ms,100Mbit", "is no time"),
            ("99999999999s,100Mbit", "is no time"),
            ("40ms,100", "the rate `100` is none: write a number above 0 with Gbit, Mbit, kbit or bit"),
            ("40ms,0Mbit", "such as 100Mbit"),
            ("40ms,100MB", "such as 100Mbit"),
            ("40ms,100Mbit,1", "such as 100Mbit"),
        ] {
            let error = text.parse::<LinkSettings>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
