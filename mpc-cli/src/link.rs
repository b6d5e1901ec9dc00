//! The link between those who take part, as the command line names it.

use std::fmt;
use std::str::FromStr;

use mpc_transport::{LinkSettings, LinkSettingsError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A link: `none` where nothing is known of it, `lan`, `wan`, or a round trip and a rate.
///
/// ```
/// use mpc_cli::LinkArgument;
/// let link: LinkArgument = "40ms,100Mbit".parse()?;
/// assert_eq!(link.to_string(), "40ms,100Mbit");
/// assert_eq!("none".parse(), Ok(LinkArgument(None)));
/// # Ok::<(), mpc_transport::LinkSettingsError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkArgument(pub Option<LinkSettings>);

const NONE: &str = "none";

impl FromStr for LinkArgument {
    type Err = LinkSettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == NONE { Ok(Self(None)) } else { text.parse().map(|link| Self(Some(link))) }
    }
}

impl fmt::Display for LinkArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(link) => link.fmt(formatter),
            None => formatter.write_str(NONE),
        }
    }
}

impl Serialize for LinkArgument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LinkArgument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
