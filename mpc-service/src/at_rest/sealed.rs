//! Short secrets, encrypted under a key of their owner: what a database keeps.
//!
//! A salt, then AES-256-GCM under HKDF-SHA-256 of the key, the salt and a label.

use ring::aead::{Aad, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

use super::encrypted_file::FileKey;
use super::private_file::{DiskError, random};

const SALT_BYTES: usize = 32;

/// Encrypts `plain` under a key and a label.
///
/// # Errors
/// [`DiskError::Randomness`].
pub(super) fn seal(key: &FileKey, label: &str, plain: &[u8]) -> Result<Vec<u8>, DiskError> {
    let salt: [u8; SALT_BYTES] = random()?;
    // With room for all from the start, the buffer does not move and leave copies behind.
    let mut sealed = Vec::with_capacity(plain.len() + 16);
    sealed.extend_from_slice(plain);
    let done = key.cipher(&salt, label).seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed);
    done.unwrap_or_else(|_| unreachable!("what is sealed is far below the cipher's limit"));
    Ok([&salt[..], &sealed].concat())
}

/// Decrypts what was sealed under the same key and label; nothing otherwise.
pub(super) fn open(key: &FileKey, label: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, sealed) = sealed.split_at_checked(SALT_BYTES)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length = key.cipher(salt, label).open_in_place(nonce(), Aad::empty(), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

/// A key is used once, as its salt is random.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> FileKey {
        FileKey::new(Zeroizing::new([byte; 32]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_sealed_is_opened_by_its_key_and_label_alone(plain: Vec<u8>, place: prop::sample::Index, bit in 0u8..8) {
            let mut sealed = seal(&key(1), "label", &plain).unwrap();
            prop_assert_eq!(&*open(&key(1), "label", &sealed).unwrap(), &plain);
            prop_assert!(open(&key(2), "label", &sealed).is_none());
            prop_assert!(open(&key(1), "other", &sealed).is_none());
            let place = place.index(sealed.len());
            prop_assert!(open(&key(1), "label", &sealed[..place]).is_none());
            sealed[place] ^= 1 << bit;
            prop_assert!(open(&key(1), "label", &sealed).is_none());
        }
    }
}
