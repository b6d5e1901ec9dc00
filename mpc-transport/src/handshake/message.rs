//! The handshake's message: postcard, its version first so that any later version can refuse it by name.

use alloc::vec::Vec;

use postcard::take_from_bytes;

use super::{
    Agreement, MAX_AGREEMENT_BYTES, MAX_FIELD_NAME_BYTES, MAX_FIELD_VALUE_BYTES, MAX_FIELDS, PROTOCOL_VERSION,
};
use crate::TransportError;

/// One party's side of the handshake; text is borrowed from the agreement or from the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) version: u16,
    pub(super) session: [u8; 16],
    parties: u16,
    party: u16,
    pub(super) fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Message<'a> {
    pub(super) fn new(party: usize, parties: usize, agreement: &'a Agreement) -> Self {
        // No network has 65,535 parties.
        let [party, parties] = [party, parties].map(|value| u16::try_from(value).unwrap_or(u16::MAX));
        Self {
            version: PROTOCOL_VERSION,
            session: agreement.session,
            parties,
            party,
            fields: agreement.fields().collect(),
        }
    }

    pub(super) fn parties(&self) -> usize {
        usize::from(self.parties)
    }

    pub(super) fn party(&self) -> usize {
        usize::from(self.party)
    }

    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|field| field.0 == name).map(|field| field.1)
    }

    /// # Errors
    /// [`TransportError::InvalidAgreement`] where a limit is exceeded.
    pub(super) fn encode(&self) -> Result<Vec<u8>, TransportError> {
        let invalid = |reason| TransportError::InvalidAgreement { reason };
        check_fields(&self.fields).map_err(invalid)?;
        let head = (self.version, self.session, self.parties, self.party, self.fields.len() as u8);
        let mut bytes = postcard::to_allocvec(&head).map_err(|_| invalid("encoding failed"))?;
        for field in &self.fields {
            bytes = postcard::to_extend(field, bytes).map_err(|_| invalid("encoding failed"))?;
        }
        if bytes.len() > MAX_AGREEMENT_BYTES { Err(invalid("more than 4096 bytes in all")) } else { Ok(bytes) }
    }

    /// Reads a peer's message; allocates nothing before the number of fields is checked.
    ///
    /// A message of another version is read no further than that.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (version, rest) = take_from_bytes::<u16>(bytes).map_err(unreadable)?;
        if version != PROTOCOL_VERSION {
            return Ok(Self { version, session: [0; 16], parties: 0, party: 0, fields: Vec::new() });
        }
        let (head, rest) = take_from_bytes::<([u8; 16], u16, u16, u8)>(rest).map_err(unreadable)?;
        let (session, parties, party, count) = head;
        let fields = decode_fields(usize::from(count), rest)?;
        Ok(Self { version, session, parties, party, fields })
    }
}

fn decode_fields(count: usize, mut rest: &[u8]) -> Result<Vec<(&str, &str)>, &'static str> {
    if count > MAX_FIELDS {
        return Err("more than 32 fields");
    }
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let (field, after) = take_from_bytes::<(&str, &str)>(rest).map_err(unreadable)?;
        fields.push(field);
        rest = after;
    }
    if !rest.is_empty() {
        return Err("bytes after its end");
    }
    check_fields(&fields)?;
    Ok(fields)
}

fn unreadable(_: postcard::Error) -> &'static str {
    "truncated, or not a handshake"
}

/// The limits that hold for both what is sent and what is received.
fn check_fields(fields: &[(&str, &str)]) -> Result<(), &'static str> {
    if fields.len() > MAX_FIELDS {
        return Err("more than 32 fields");
    }
    for (i, (name, value)) in fields.iter().enumerate() {
        if name.len() > MAX_FIELD_NAME_BYTES {
            return Err("a field's name of more than 64 bytes");
        }
        if value.len() > MAX_FIELD_VALUE_BYTES {
            return Err("a field's value of more than 256 bytes");
        }
        if fields[..i].iter().any(|earlier| earlier.0 == *name) {
            return Err("a field that appears twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn agreement() -> Agreement {
        Agreement::new([9; 16]).with("ring", "Z_{2^64}").with("fractional bits", 16)
    }

    #[test]
    fn decodes_what_it_encodes() {
        let agreement = agreement();
        let message = Message::new(1, 3, &agreement);
        assert_eq!(Message::decode(&message.encode().unwrap()), Ok(message));
    }

    #[test]
    fn refuses_every_truncation_and_a_longer_message() {
        let agreement = agreement();
        let mut bytes = Message::new(1, 3, &agreement).encode().unwrap();
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_err(), "{end} bytes");
        }
        bytes.push(0);
        assert_eq!(Message::decode(&bytes), Err("bytes after its end"));
    }

    #[test]
    fn reads_no_further_than_another_version() {
        let bytes = postcard::to_allocvec(&(PROTOCOL_VERSION + 1, "whatever")).unwrap();
        assert_eq!(Message::decode(&bytes).unwrap().version, PROTOCOL_VERSION + 1);
    }

    #[test]
    fn refuses_an_agreement_beyond_the_limits() {
        let many = (0..33).fold(Agreement::new([0; 16]), |a, i| a.with(i, i));
        let large = (0..32).fold(Agreement::new([0; 16]), |a, i| a.with(i, "v".repeat(256)));
        let wrong = [
            many,
            large,
            agreement().with("ring", "Z_{2^32}"),
            agreement().with("n".repeat(65), ""),
            agreement().with("n", "v".repeat(257)),
        ];
        for agreement in wrong {
            let result = Message::new(0, 2, &agreement).encode();
            assert!(matches!(result, Err(TransportError::InvalidAgreement { .. })), "{result:?}");
        }
    }

    #[test]
    fn refuses_fields_that_appear_twice_and_too_many() {
        let head = |count: u8| postcard::to_allocvec(&(PROTOCOL_VERSION, [0u8; 16], 2u16, 1u16, count)).unwrap();
        let twice = postcard::to_extend(&(("a", "1"), ("a", "2")), head(2)).unwrap();
        assert_eq!(Message::decode(&twice), Err("a field that appears twice"));
        assert_eq!(Message::decode(&head(255)), Err("more than 32 fields"));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..512)) {
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn arbitrary_fields_after_a_right_head_never_panic(
            count: u8,
            tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..512),
        ) {
            let head = (PROTOCOL_VERSION, [0u8; 16], 2u16, 1u16, count);
            let mut bytes = postcard::to_allocvec(&head).unwrap();
            bytes.extend(tail);
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn any_agreement_within_the_limits_survives(name in ".{0,16}", value in ".{0,64}", session: [u8; 16]) {
            let agreement = Agreement::new(session).with(&name, &value);
            let bytes = Message::new(0, 2, &agreement).encode().unwrap();
            let read = Message::decode(&bytes).unwrap();
            proptest::prop_assert_eq!(read.session, session);
            proptest::prop_assert_eq!(read.field(&name).map(String::from), Some(value));
        }
    }
}
