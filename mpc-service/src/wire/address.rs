//! Where a participant is: the addresses at which it is called, and those that a machine of it may say are its own.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The longest address that a machine says is its own, in bytes: a name of 253 and a port.
pub(crate) const MAX_ADDRESS_BYTES: usize = 260;
/// Before a domain of which every name is meant.
const ANY: &str = "*.";

/// The addresses of a participant, which may have several machines.
///
/// Written `HOST:PORT`, several with commas between. One with `*.` for a name, or with a range of ports, is never called by
/// itself: a machine may say that it is there, such as `*.acme.example:7700` or `acme.example:7701-7709`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    called: Vec<String>,
    allowed: Vec<Allowed>,
}

/// Addresses that a machine may say are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    host: String,
    ports: RangeInclusive<u16>,
}

/// An address that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not HOST:PORT, nor several with commas between, of which one at least has no `*` and a single port")]
pub struct AddressError(String);

impl Addresses {
    /// Those at which it is called.
    pub fn called(&self) -> impl ExactSizeIterator<Item = &str> {
        self.called.iter().map(String::as_str)
    }

    /// One of them, which `said` is, if it may be.
    ///
    /// # Security
    /// `said` may come from anybody: it is the whole of an address here, or within what is allowed here. So nobody has this
    /// side call a place that its operator did not name; and there, as everywhere, only the right certificate is talked to.
    #[must_use]
    pub fn permitted(&self, said: &str) -> Option<Self> {
        let is_one = self.called.iter().any(|address| address == said) || self.is_allowed(said);
        is_one.then(|| Self { called: vec![said.to_owned()], allowed: Vec::new() })
    }

    fn is_allowed(&self, said: &str) -> bool {
        let Some((host, port)) = said.rsplit_once(':').filter(|_| said.len() <= MAX_ADDRESS_BYTES) else {
            return false;
        };
        let Some(port) = port_of(port) else { return false };
        self.allowed.iter().any(|allowed| allowed.ports.contains(&port) && is_host(host, &allowed.host))
    }
}

/// Whether a host is one that is allowed: the same, or a name of its domain.
fn is_host(host: &str, allowed: &str) -> bool {
    let Some(domain) = allowed.strip_prefix(ANY) else { return host.eq_ignore_ascii_case(allowed) };
    let below = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at));
    let Some((name, end)) = below else { return false };
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_below = name.strip_suffix('.').is_some_and(|name| name.split('.').all(is_label));
    is_below && end.eq_ignore_ascii_case(domain)
}

/// A port, written in digits alone.
fn port_of(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Whether a text is one `HOST:PORT` that can be called.
fn is_callable(text: &str) -> bool {
    text.len() <= MAX_ADDRESS_BYTES
        && text.rsplit_once(':').is_some_and(|(host, port)| {
            let is_text = |char: char| !char.is_control() && char != '*';
            !host.is_empty() && host.chars().all(is_text) && port_of(port).is_some()
        })
}

/// The address of one machine, `HOST:PORT`.
///
/// # Errors
/// [`AddressError`].
pub fn one_address(text: &str) -> Result<String, AddressError> {
    if is_callable(text) && !text.contains(',') { Ok(text.to_owned()) } else { Err(AddressError(text.to_owned())) }
}

impl Allowed {
    fn parse(text: &str) -> Option<Self> {
        let (host, ports) = text.rsplit_once(':')?;
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let ports = port_of(first)?..=port_of(last)?;
        let domain = host.strip_prefix(ANY).unwrap_or(host);
        let is_one = !domain.is_empty() && !domain.contains('*') && !ports.is_empty();
        is_one.then(|| Self { host: host.to_owned(), ports })
    }
}

impl FromStr for Addresses {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        let (mut called, mut allowed) = (Vec::new(), Vec::new());
        for part in text.split(',').map(str::trim) {
            if is_callable(part) {
                called.push(part.to_owned());
            } else {
                allowed.push(Allowed::parse(part).ok_or_else(wrong)?);
            }
        }
        if called.is_empty() { Err(wrong()) } else { Ok(Self { called, allowed }) }
    }
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Self { called: vec![address.to_string()], allowed: Vec::new() }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.called.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_permitted(addresses: &str, said: &str) -> bool {
        addresses.parse::<Addresses>().unwrap().permitted(said).is_some()
    }

    #[test]
    fn a_machine_is_where_its_operator_may_expect_it() {
        let acme = "acme.example:7700, b.example:1, *.acme.example:7700, acme.example:7701-7703, [::1]:5";
        let right = [
            "acme.example:7700",
            "b.example:1",
            "r0.acme.example:7700",
            "R-1.x.ACME.example:7700",
            "acme.example:7702",
            "[::1]:5",
        ];
        for said in right {
            assert!(is_permitted(acme, said), "{said}");
        }
        let wrong = [
            "acme.example:7704",
            "acme.example:22",
            "r0.acme.example:7701",
            "r0acme.example:7700",
            ".acme.example:7700",
            "a..acme.example:7700",
            "a/b.acme.example:7700",
            "a@evil.acme.example:7700",
            "acme.example.evil.example:7700",
            "b.example:2",
            "acme.example",
            "acme.example:+7702",
            "acme.example:7702 ",
            "acme.example:99999",
            "",
            ":",
            "ä.acme.example:7700",
            "127.0.0.1:7700",
        ];
        for said in wrong {
            assert!(!is_permitted(acme, said), "{said}");
        }
        let long = format!("{}.acme.example:7700", "a".repeat(MAX_ADDRESS_BYTES));
        assert!(!is_permitted(acme, &long));
        assert!(!is_permitted("acme.example:7700", "r0.acme.example:7700"), "nothing is allowed that is not written");
    }

    #[test]
    fn addresses_are_read_or_refused() {
        let acme: Addresses = "acme.example:7700,[::1]:5,*.acme.example:7700".parse().unwrap();
        assert_eq!(acme.called().collect::<Vec<_>>(), ["acme.example:7700", "[::1]:5"]);
        assert_eq!(acme.to_string(), "acme.example:7700,[::1]:5");
        for wrong in ["", "acme", "acme:", ":1", "*.acme:1", "a:1-2", "a:1,", "a:1,b:2-1", "a:1,*.:2", "a:1,*.*.b:2"] {
            assert!(wrong.parse::<Addresses>().is_err(), "{wrong}");
        }
        assert!(one_address("acme.example:7700").is_ok());
        for wrong in ["a:1,b:2", "*.a:1", "a:1-2", "a", "a:b"] {
            assert!(one_address(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_never_panics(said in ".{0,40}", end in "(\\.acme\\.example:7700)?") {
            let acme: Addresses = "acme.example:7700,*.acme.example:7700".parse().unwrap();
            if let Some(one) = acme.permitted(&format!("{said}{end}")) {
                let one = one.to_string();
                prop_assert!(one == "acme.example:7700" || one.ends_with(".acme.example:7700"), "{one}");
            }
        }
    }
}
