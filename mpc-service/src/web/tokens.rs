//! Bearer tokens: who may ask for inferences over HTTP, and how often.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};

use super::problem::Problem;

/// The inferences in a minute of a token that names no number.
const PER_MINUTE: u32 = 12;
/// The most that it may name.
const MAX_PER_MINUTE: u32 = 6000;
/// The fewest characters of a token: 16 of hexadecimal digits hold 64 bits.
const MIN_TOKEN: usize = 16;
const MAX_TOKEN: usize = 256;
/// The most tokens.
const MAX_TOKENS: usize = 1 << 16;

/// Why a list of tokens is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// A line that is no token.
    #[error("line {line} of the tokens is not `NAME TOKEN` or `NAME TOKEN INFERENCES-A-MINUTE`: {reason}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// The fault.
        reason: &'static str,
    },
    /// No token, or too many.
    #[error("there are {found} tokens; 1 to {MAX_TOKENS} are taken")]
    Count {
        /// How many there are.
        found: usize,
    },
}

/// The tokens that a server takes, each with a name for the log and a rate.
pub struct Tokens {
    holders: Vec<Holder>,
    /// By the SHA-256 of the token, so that what a look-up takes tells nothing of others.
    by_digest: HashMap<[u8; 32], usize>,
}

struct Holder {
    name: String,
    per_minute: f64,
    bucket: Mutex<Bucket>,
}

/// Inferences that are left, and when that was so.
struct Bucket {
    left: f64,
    at: Instant,
}

impl Tokens {
    /// Reads a text of a line for each token: its holder's name, the token, and, if wanted, how many inferences it is good for
    /// in a minute. Empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Self { holders: Vec::new(), by_digest: HashMap::new() };
        for (line, text) in (1..).zip(text.lines()) {
            let wrong = |reason| TokensError::Line { line, reason };
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let mut words = text.split_whitespace();
            let name = words.next().ok_or_else(|| wrong("it has no name"))?;
            let token = words.next().ok_or_else(|| wrong("it has no token"))?;
            if !(MIN_TOKEN..=MAX_TOKEN).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(wrong("a token has 16 to 256 printable characters, chosen at random"));
            }
            let per_minute = words.next().map_or(Ok(PER_MINUTE), str::parse);
            let per_minute = per_minute.ok().filter(|rate| (1..=MAX_PER_MINUTE).contains(rate));
            let per_minute = per_minute.ok_or_else(|| wrong("the rate is a number from 1 to 6000"))?;
            if words.next().is_some() {
                return Err(wrong("it has more words"));
            }
            if tokens.by_digest.insert(sha256(token.as_bytes()), tokens.holders.len()).is_some() {
                return Err(wrong("the token is there twice"));
            }
            let bucket = Mutex::new(Bucket { left: f64::from(per_minute), at: Instant::now() });
            tokens.holders.push(Holder { name: name.to_owned(), per_minute: f64::from(per_minute), bucket });
        }
        match tokens.holders.len() {
            1..=MAX_TOKENS => Ok(tokens),
            found => Err(TokensError::Count { found }),
        }
    }

    /// The holder of the token in a header.
    pub(crate) fn holder(&self, authorization: Option<&[u8]>) -> Result<usize, Problem> {
        let token = authorization.and_then(|header| header.strip_prefix(b"Bearer ")).ok_or(Problem::NoToken)?;
        self.by_digest.get(&sha256(token)).copied().ok_or(Problem::UnknownToken)
    }

    /// The holder's name, for the log.
    pub(crate) fn name(&self, holder: usize) -> &str {
        &self.holders[holder].name
    }

    /// Counts an inference of a holder, if one is left.
    pub(crate) fn take(&self, holder: usize) -> Result<(), Problem> {
        self.take_at(holder, Instant::now())
    }

    fn take_at(&self, holder: usize, now: Instant) -> Result<(), Problem> {
        let Holder { per_minute, bucket, .. } = &self.holders[holder];
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.at);
        bucket.left = (bucket.left + passed.as_secs_f64() / 60.0 * per_minute).min(*per_minute);
        bucket.at = now;
        if bucket.left < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - bucket.left) * 60.0 / per_minute);
            return Err(Problem::Rate { seconds: wait.as_secs() + 1 });
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokens").field("count", &self.holders.len()).finish_non_exhaustive()
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_else(|_| unreachable!("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# the clinic's page\nclinic 0123456789abcdef 2\n\nvisitors fedcba9876543210\n";

    #[test]
    fn a_token_is_known_and_others_are_not() {
        let tokens = Tokens::parse(TEXT).unwrap();
        let holder = tokens.holder(Some(b"Bearer fedcba9876543210")).unwrap();
        assert_eq!(tokens.name(holder), "visitors");
        assert!(matches!(tokens.holder(None), Err(Problem::NoToken)));
        assert!(matches!(tokens.holder(Some(b"Basic 0123456789abcdef")), Err(Problem::NoToken)));
        assert!(matches!(tokens.holder(Some(b"Bearer 0123456789abcdee")), Err(Problem::UnknownToken)));
    }

    #[test]
    fn a_rate_is_kept_and_what_is_unused_does_not_add_up() {
        let tokens = Tokens::parse(TEXT).unwrap();
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(tokens.take_at(0, now).is_ok() && tokens.take_at(0, now).is_ok());
        assert!(matches!(tokens.take_at(0, now), Err(Problem::Rate { seconds: 30..=31 })));
        assert!(tokens.take_at(1, now).is_ok());
        assert!(tokens.take_at(0, after(31)).is_ok());
        assert!(tokens.take_at(0, after(31)).is_err());
        assert!(tokens.take_at(0, after(3600)).is_ok() && tokens.take_at(0, after(3600)).is_ok());
        assert!(tokens.take_at(0, after(3600)).is_err());
    }

    #[test]
    fn what_is_no_list_of_tokens_is_refused_by_its_line() {
        for (text, line) in [
            ("clinic\n", 1),
            ("\nclinic short\n", 2),
            ("clinic 0123456789abcdef 0\n", 1),
            ("clinic 0123456789abcdef 6001\n", 1),
            ("clinic 0123456789abcdef 1 more\n", 1),
            ("a 0123456789abcdef\nb 0123456789abcdef\n", 2),
        ] {
            let error = Tokens::parse(text).unwrap_err();
            assert!(matches!(error, TokensError::Line { line: found, .. } if found == line), "{text}: {error}");
        }
        assert_eq!(Tokens::parse("# none\n").unwrap_err(), TokensError::Count { found: 0 });
    }
}
